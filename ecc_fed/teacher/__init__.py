"""The cloud: the few-shot prompt, the gateway that all cloud traffic passes, and the models behind it."""
