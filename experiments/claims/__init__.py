"""Whether the figures that README and experiments state come out of their commands today."""
