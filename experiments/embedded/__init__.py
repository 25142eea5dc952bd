"""How the embedded models were made: `python -m experiments.embedded.train`."""
