"""What a small real model learns from real dialogues."""
