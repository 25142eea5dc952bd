"""A whole run: from its config to its run directory, its collection, and finished runs opened again."""
