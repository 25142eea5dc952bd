"""How many adapters become one: pure arithmetic on adapter states."""
