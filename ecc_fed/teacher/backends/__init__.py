"""Real cloud models by their providers' own interfaces. Each is a `teacher.backend.Backend`; SDKs are imported here only."""
