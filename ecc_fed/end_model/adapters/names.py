"""What peft calls an adapter's files and tensors."""

from __future__ import annotations

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
# Ours, beside peft's own two: the MLP that makes a prefix.
ENCODER_FILE = "prompt_encoder.safetensors"

# Ours too: the part of a low-rank adapter that nobody trains.
FROZEN_FILE = "frozen_part.safetensors"

MAGNITUDE = "lora_magnitude_vector"
ENCODER = "prompt_encoder"
EMBEDDING = f"{ENCODER}.embedding.weight"
TRANSFORM = tuple(f"{ENCODER}.transform.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias"))
# The finished prefix, which is all that peft keeps of a prompt encoder.
BAKED = "prompt_embeddings"
