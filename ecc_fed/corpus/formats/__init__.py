"""Readers of dialogue files, one file a format, and what every file corpus shares."""
