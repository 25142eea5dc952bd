"""A row of `updates.jsonl`: what the server learned of one shop in one server round."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UpdateRow:
    """One shop's reply that counted in a round; one that was refused stands among the failures of `run.json`.

    Attributes:
        num_examples: that the shop says it learned from; never more than its settings allow. None under secure
            aggregation, where the server learns of no shop's.
        update_norm: L2 norm of its update minus what it was sent of the same tensors; None where that was not sent,
            nothing came back, or the server sees sums of updates alone.
        norm_ratio: the update's norm over the median of its round's; None where the server sees no update, or the
            shop had no example.
        flags: what stands out; large_norm: `norm_ratio` above `replies.norm_factor`; not_selected and shortened: what
            a robust strategy made of it.
    """

    server_round: int
    shop_id: str
    num_examples: int | None
    update_norm: float | None
    norm_ratio: float | None
    flags: tuple[str, ...]
