"""What leaves a shop, and in which form: redaction and the ledger."""
