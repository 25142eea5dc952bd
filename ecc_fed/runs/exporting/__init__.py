"""What `ecc-fed export` hands over: which adapter it is, and the card that goes with it."""
