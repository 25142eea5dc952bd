"""Dialogues: readers of published formats, cleaning, pairs, partition into shops, the shop simulator."""
