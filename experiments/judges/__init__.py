"""What the judges are worth on real dialogues."""
