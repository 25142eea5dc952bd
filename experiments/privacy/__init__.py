"""What reaches the cloud of what customers said, and what comes back to whom."""
