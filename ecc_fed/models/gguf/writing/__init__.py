"""Models written as GGUF files: what such a file can say of them, and the file."""
