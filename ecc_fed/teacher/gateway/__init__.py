"""The one way to the cloud: redaction, cache, budget, retries, ledger."""
