"""What is cut from real dialogues before anybody learns from them, and why."""
