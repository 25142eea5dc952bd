"""The table of the arms."""
