"""Simulated shops and their customers: private dialogues with ground truth, and public text to pre-train on."""

from ecc_fed.corpus.simulator.corpus import SimulatorCorpus

__all__ = ["SimulatorCorpus"]
