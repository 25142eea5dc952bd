"""Secure aggregation over Flower: what travels, the device's answers, and the server's round of four stages."""
