"""Days on which facts change."""
