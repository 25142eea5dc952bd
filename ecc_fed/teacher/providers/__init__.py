"""Real cloud models by their providers' own interfaces, each a `teacher.backend.Backend`. SDKs stay in here."""
