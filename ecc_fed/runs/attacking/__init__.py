"""The parts of `ecc-fed attack`: whose adapters are attacked, and one module for every kind of attack."""
