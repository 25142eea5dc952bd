"""A row of `lessons.jsonl`: one label that a chat taught a shop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LessonRow:
    """One lesson: which label, by whom, and what it did to the adapter.

    Attributes:
        lesson: its number, from 1.
        pair_id: what was asked.
        label_source: the cloud model's version, or "human".
        steps, first_loss, last_loss: of the fine-tuning; None where there was no step.
        from_sha256, to_sha256: the adapters before and after; None is the bare base.
    """

    lesson: int
    pair_id: str
    label_source: str
    steps: int
    first_loss: float | None
    last_loss: float | None
    from_sha256: str | None
    to_sha256: str
