"""Secure aggregation, SecAgg+ (Bell et al. 2020): a sum that nobody can take apart. Pure functions, without Flower.

Settings, the graph of neighbours, Shamir's shares, keys, masks, numbers as whole numbers, a device's side
(`participant`) and what the server does with shares (`unmasking`).
"""
