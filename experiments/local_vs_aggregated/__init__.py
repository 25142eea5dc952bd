"""Local or aggregated: every arm and every way to aggregate."""
