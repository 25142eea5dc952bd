"""Naming the topic of a text from a state in the middle of a model: an auxiliary task of training."""

from __future__ import annotations

from collections.abc import Sequence

import torch

MAX_TOPICS = 128


class TopicHead(torch.nn.Module):
    """Makes a model gather what a text is about in one place, for unseen wordings too.

    It is thrown away after training. Topics are intent names; "a+b" stands for two at once.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(hidden_size, MAX_TOPICS)
        self._numbers: dict[str, int] = {}

    def loss(self, states: torch.Tensor, topics: Sequence[str]) -> torch.Tensor:
        """Mean cross-entropy of naming `topics[i]` from `states[i]`, several topics with equal shares.

        `states` is (texts, hidden size); no text, no loss.
        """
        if not topics:
            return states.new_zeros(())
        target = torch.zeros(len(topics), MAX_TOPICS)
        for row, topic in enumerate(topics):
            names = topic.split("+")
            for name in names:
                target[row, self._numbers.setdefault(name, len(self._numbers))] += 1 / len(names)
        scaled = torch.nn.functional.rms_norm(states.float(), states.shape[-1:])
        return torch.nn.functional.cross_entropy(self.linear(scaled), target.to(states.device))
