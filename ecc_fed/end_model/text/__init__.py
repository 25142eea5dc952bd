"""From turns to token ids and back."""
