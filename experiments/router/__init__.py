"""What asking the cloud for some queries alone is worth."""
