"""The Flower side of the federation: apps, strategy, and the parts of Flower that are not public."""
