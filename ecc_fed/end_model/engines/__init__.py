"""Ways to serve and train many adapters over one frozen base."""
