"""The shared engine: one resident base, an adapter per row, all shops' work in one batch."""
