"""Where training beats copying."""
