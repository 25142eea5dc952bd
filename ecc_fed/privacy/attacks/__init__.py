"""Attacks on what an adapter remembers, as scores of likelihoods: no model, no file."""
