"""What every engine shares of fine-tuning: examples, batches, schedule, the gradient rule."""
