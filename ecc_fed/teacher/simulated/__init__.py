"""The simulated teacher, which stands in for a large model and needs no weights."""
