"""What every room speaks: frozen records, Protocols, errors, seeding, the run directory. No torch."""
