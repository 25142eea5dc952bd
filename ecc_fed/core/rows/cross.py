"""A row of `cross/rows.jsonl`: what one shop's adapter replies to another shop's test query."""

from __future__ import annotations

from dataclasses import dataclass

from ecc_fed.core.rows.sample import SampleRow


@dataclass(frozen=True, slots=True)
class CrossRow:
    """One reply. `adapter_of`: the shop whose device answers; `sample` is of the shop that is asked, and unjudged."""

    adapter_of: str
    sample: SampleRow
