"""The search for settings that make a number of `summary.json` large or small."""
