"""Real cloud models by their providers' own interfaces, each a `Teacher`. SDKs stay in here."""
