"""From a Hydra config to objects: the typed schema and the only caller of `instantiate`."""
