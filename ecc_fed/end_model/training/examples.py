"""Training examples as token ids: loss falls on the agent's tokens only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ecc_fed.core.records import Example
from ecc_fed.end_model.text.prompting import encode_reply, fitting_prompt


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """Prompt and reply ids in one; positions from `prompt_length` on are labels."""

    ids: list[int]
    prompt_length: int

    @property
    def label_tokens(self) -> int:
        """How many tokens bear loss."""
        return len(self.ids) - self.prompt_length


def encode_example(
    tokenizer: Any, example: Example, max_prompt_tokens: int, max_reply_tokens: int, system: str | None = None
) -> EncodedExample:
    """Ids of one example, each part cut to its limit, behind a system text."""
    prompt = fitting_prompt(tokenizer, example.prompt, max_prompt_tokens, system)
    reply = encode_reply(tokenizer, example.reply, max_reply_tokens, prompt)
    return EncodedExample([*prompt.ids, *reply], len(prompt.ids))
