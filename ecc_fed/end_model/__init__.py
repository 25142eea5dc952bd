"""The small model of a shop: one frozen base, an adapter a shop, generation and fine-tuning."""
