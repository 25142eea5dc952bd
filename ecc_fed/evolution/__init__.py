"""One shop's loop: serve, judge, ask the cloud, label, fine-tune, remember."""
