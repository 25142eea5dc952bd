"""What a shop's adapter is, and its files in peft's own format."""
