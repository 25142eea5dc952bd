"""What a router is worth: who would answer which test query, how well, and how sure it was of that."""
