"""What others' adapters are worth to a shop that joins late."""
