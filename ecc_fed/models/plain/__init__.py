"""Llama and BERT in a few lines each, for checkpoints that need no more: transformers' own take seconds to import."""
