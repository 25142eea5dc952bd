"""Which rows of a call are served together, and how: as a plan of captured steps says, or each batch by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ecc_fed.end_model.engines.batching import split_by_length, split_by_rows
from ecc_fed.end_model.engines.replies import Drawn, EndMarks
from ecc_fed.end_model.engines.sampling import Row
from ecc_fed.end_model.engines.shared.active_adapters import ActiveAdapters
from ecc_fed.end_model.engines.shared.captured_replies import CapturedReplies
from ecc_fed.end_model.engines.shared.captured_step import GraphCapture, as_it_is
from ecc_fed.end_model.engines.shared.dense_base import reading_base
from ecc_fed.end_model.engines.shared.generation import generate_batch
from ecc_fed.end_model.engines.shared.packed_base import PackedBase
from ecc_fed.end_model.engines.shared.reply_plan import ReplyPlan

# Times the tokens of a pass, of a batch whose steps take as long for many rows as for few.
_MANY = 4
# Rows, the bank row of each (ascending), and what ends a reply -> what every row draws.
Generate = Callable[[Sequence[Row], Sequence[int], EndMarks], list[Drawn]]


def reply_batches(
    base: PackedBase, plan: ReplyPlan | None, adapters: ActiveAdapters | None, costs: Sequence[int], batch_tokens: int
) -> Iterator[tuple[list[int], Generate]]:
    """The batches of a call, and what generates each.

    Args:
        base: the frozen decoder.
        plan: of captured steps; None: every batch by itself.
        adapters: all rows'.
        costs: tokens of every row, its longest reply included.
        batch_tokens: of one pass over the base; of one batch, where these are served by themselves, or of a quarter of
            one, where the base lies in memory.
    """
    if not costs:
        return
    if plan is None:
        together = batch_tokens * (_MANY if base.lies_in_memory else 1)
        for batch in split_by_length(costs, together):
            yield batch, partial(generate_batch, base, adapters, pass_tokens=batch_tokens)
        return
    batches = split_by_rows(costs, plan.rows_at_once(max(costs)))
    served = captured_replies(base, plan, adapters, len(batches[0]), max(costs), batch_tokens)
    for batch in batches:
        yield batch, served.generate


def captured_replies(
    base: PackedBase, plan: ReplyPlan, adapters: ActiveAdapters | None, rows: int, room: int, pass_tokens: int
) -> CapturedReplies:
    """What one call's batches share, of at most so many rows of at most `room` tokens; on a CPU nothing is captured."""
    reading = reading_base(base, plan.dtype, plan.dense)
    own = None if adapters is None else adapters.served_in(plan.dtype)
    capture = GraphCapture() if base.device.type == "cuda" else as_it_is
    return CapturedReplies(reading, own, rows, room, capture, pass_tokens)
