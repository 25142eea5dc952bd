"""Manual review: a shop of a finished run, talked to, marked and taught."""
