"""The simulated customer's verdict: facts right and tone fitting, flipped now and then. No model involved."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.facts import states_all
from ecc_fed.core.ranges import require, require_number
from ecc_fed.core.records import Feedback, Pair
from ecc_fed.core.seeding import derive_rng
from ecc_fed.core.truth import Truth


def tone_fits(reply: str, human_reply: str, refused_phrases: Sequence[str], max_length_ratio: float) -> bool:
    """A plain rule: the reply says something, is no boilerplate, and is not long-winded.

    True if `reply` is not blank, contains none of `refused_phrases`, and has at most
    `max_length_ratio` times the characters of the human agent's reply (at least 20 are allowed).
    """
    text = reply.strip()
    if not text or any(phrase in text for phrase in refused_phrases):
        return False
    return len(text) <= max(20.0, max_length_ratio * len(human_reply.strip()))


class SimulatedFeedback:
    """`FeedbackSource` for pairs of the simulator, whose customers are played and know what is true.

    The customer is satisfied if the reply states all facts the pair asks for (a pair with an intent
    but no facts, such as thanks, asks for none) and `tone_fits`. With probability `noise` the
    verdict is flipped, drawn from (seed, pair_id), so that it never depends on the batch. Pairs
    without facts and intent, as from real corpora, get None: nobody knows what that customer thought.

    Args:
        noise: probability of a flipped verdict, 0..0.5.
        refused_phrases: phrases that mark a reply as boilerplate that helps nobody.
        max_length_ratio: longest reply allowed, in lengths of the human agent's reply, above 0.

    Raises:
        ConfigError: an argument out of range.
    """

    def __init__(self, noise: float = 0.05, refused_phrases: Sequence[str] = (), max_length_ratio: float = 4.0) -> None:
        require_number("feedback.noise", noise, 0, 0.5)
        require(max_length_ratio > 0, "feedback.max_length_ratio", max_length_ratio, "above 0")
        if any(not phrase.strip() for phrase in refused_phrases):
            raise ConfigError("feedback refused_phrases holds a blank phrase, which would refuse every reply")
        self.noise, self.refused_phrases, self.max_length_ratio = noise, tuple(refused_phrases), max_length_ratio

    def feedback(
        self, pairs: Sequence[Pair], truths: Sequence[Truth | None], replies: Sequence[str], seed: int
    ) -> list[Feedback | None]:
        """One verdict for every (pair, truth, reply); None where nothing is known to be true.

        Raises:
            ValueError: `pairs`, `truths` and `replies` differ in length.
        """
        if not len(pairs) == len(truths) == len(replies):
            raise ValueError(f"feedback got {len(pairs)} pairs, {len(truths)} truths, {len(replies)} replies")
        return [self._verdict(*each, seed) for each in zip(pairs, truths, replies, strict=True)]

    def _verdict(self, pair: Pair, truth: Truth | None, reply: str, seed: int) -> Feedback | None:
        if truth is None or (not truth.facts and truth.intent is None):
            return None
        right = not truth.facts or states_all(reply, truth.facts)
        satisfied = right and tone_fits(reply, pair.reply, self.refused_phrases, self.max_length_ratio)
        flipped = bool(derive_rng(seed, "feedback", pair.pair_id).random() < self.noise)
        return Feedback(satisfied=satisfied != flipped)


class NoFeedback:
    """`FeedbackSource` of customers who never say what they think, as in corpora in files."""

    def feedback(
        self, pairs: Sequence[Pair], truths: Sequence[Truth | None], replies: Sequence[str], seed: int
    ) -> list[Feedback | None]:
        """None for every pair."""
        return [None] * len(pairs)
