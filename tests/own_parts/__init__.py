"""A user's own package: one class for each kind of part, and the YAML files that name them."""
