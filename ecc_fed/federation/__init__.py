"""Flower clients and server, aggregation of adapters, and the Ray hosts that keep one base for many shops."""
