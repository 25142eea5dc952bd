"""The views of the paper's own studies."""
