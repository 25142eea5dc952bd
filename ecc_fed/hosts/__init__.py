"""Processes that keep the base and the judge resident and run their shops' ClientApps."""
