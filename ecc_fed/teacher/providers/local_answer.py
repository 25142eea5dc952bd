"""What a local model said, as a server would show it: thoughts stay marked, so that they can be told from the reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ecc_fed.models.blanks import without_blanks
from ecc_fed.teacher.providers.spoken import begins_thought, marks_thoughts

# So far back a prompt may begin a thought that its answer goes on with.
_TAIL_TOKENS = 16


def shown(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of an answer; its special tokens are shown where they part thoughts from the reply, else left out."""
    marked = _decoded(tokenizer, ids, skip=False)
    return marked if marks_thoughts(marked) else _decoded(tokenizer, ids, skip=True)


def thought_of(tokenizer: Any, prompt: Sequence[int]) -> str:
    """The mark of a thought that the prompt has begun and not ended; "" where it has not."""
    return begins_thought(_decoded(tokenizer, prompt[-_TAIL_TOKENS:], skip=False))


def _decoded(tokenizer: Any, ids: Sequence[int], skip: bool) -> str:
    text = tokenizer.decode(list(ids), skip_special_tokens=skip, clean_up_tokenization_spaces=False)
    return without_blanks(tokenizer, text)
