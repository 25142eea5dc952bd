"""What travels between a shop and the server, as Flower's records."""
