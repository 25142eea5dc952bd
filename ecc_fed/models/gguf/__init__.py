"""GGUF files (llama.cpp's) as models: each becomes a Hugging Face folder once, in a cache."""
