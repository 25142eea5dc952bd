"""Which session belongs to which shop."""
