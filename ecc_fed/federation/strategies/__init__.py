"""Ways to make one adapter of many, one file an algorithm. Each is a Flower `Strategy`."""
