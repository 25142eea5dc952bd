"""A model on this machine as the cloud teacher: any instruction-tuned causal LM that transformers opens.

For a prompt of hundreds of examples a server that keeps the prefix (vLLM, by
`teacher=openai_compatible`) is faster: here every prompt is read from its beginning.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import LogitsProcessorList

from ecc_fed.core.completion import Completion, TeacherPrompt
from ecc_fed.core.heartbeat import beat
from ecc_fed.core.ranges import require_number
from ecc_fed.core.seeding import derive_seed
from ecc_fed.models.chat_ids import encode_parts
from ecc_fed.models.chat_template import TEMPLATES, fill, placeholder
from ecc_fed.teacher.providers.answers import Answer, Usage, completion_of, failed
from ecc_fed.teacher.providers.local_answer import shown, thought_of
from ecc_fed.teacher.providers.local_model import open_local_model
from ecc_fed.teacher.providers.prices import Price
from ecc_fed.teacher.providers.seeded_draw import SeededDraw
from ecc_fed.teacher.providers.settings import check_sampling, stated


class LocalTransformersTeacher:
    """A `Teacher` over a resident model. It is free, so it has no prices.

    Args:
        path: a local folder, or a hub id.
        temperature: above 0 to 2; None is greedy.
        top_p: share of the probability that is drawn from, above 0 to 1.
        max_output_tokens: longest reply, from 1.
        batch_size: prompts generated together, 1 to 1024.
        dtype: auto (the checkpoint's), float32, bfloat16 or float16.
        device: auto (a GPU where there is one), cpu or cuda.
        chat_template_kwargs: further arguments of the chat template, such as {enable_thinking: false}.
        seed: of sampling; what a prompt draws depends on (seed, prompt) alone.

    Raises:
        ModelError: no usable model at `path`.
        ConfigError: a setting out of range.
    """

    remote = False
    # The gateway hands over all that waits; what runs together is `batch_size`.
    max_batch = 4096
    input_usd_per_million_tokens = 0.0
    output_usd_per_million_tokens = 0.0

    def __init__(
        self,
        path: str,
        temperature: float | None = None,
        top_p: float = 1.0,
        max_output_tokens: int = 256,
        batch_size: int = 4,
        dtype: str = "auto",
        device: str = "auto",
        chat_template_kwargs: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        check_sampling(temperature, top_p, max_output_tokens)
        if temperature is not None:
            require_number("teacher.temperature", temperature, 1e-3, 2)
        require_number("teacher.batch_size", batch_size, 1, 1024)
        self._opened = open_local_model(path, dtype, device)
        self._temperature, self._top_p, self._seed = temperature, top_p, seed
        self._batch_size = batch_size
        self._template_arguments = dict(chat_template_kwargs or {})
        self._lock = threading.Lock()
        self.max_output_tokens = max_output_tokens
        self.name = f"local model ({path})"
        # The fingerprint stands for the weights: the same path may hold others tomorrow.
        self.model = f"{path}@{self._opened.fingerprint}"
        drawn = {} if temperature is None else stated(temperature=temperature, top_p=top_p, seed=seed)
        self.decoding: Mapping[str, str | int | float] = {
            **drawn,
            "max_output_tokens": max_output_tokens,
            **{f"template.{name}": str(value) for name, value in sorted(self._template_arguments.items())},
        }

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        """One completion for every prompt, `batch_size` at a time, prompts of like length together."""
        encoded = [self._encode(prompt) for prompt in prompts]
        completions: list[Completion | None] = [self._too_long(ids) for ids in encoded]
        waiting = sorted(
            (i for i, completion in enumerate(completions) if completion is None), key=lambda i: (-len(encoded[i]), i)
        )
        with self._lock:
            for start in range(0, len(waiting), self._batch_size):
                batch = waiting[start : start + self._batch_size]
                answers = self._generate([encoded[i] for i in batch], [prompts[i] for i in batch])
                beat()
                for i, answer in zip(batch, answers, strict=True):
                    speakers = prompts[i].few_shot.speakers
                    completions[i] = completion_of(answer, Price(), speakers, self.max_output_tokens)
        return [completion for completion in completions if completion is not None]

    def _encode(self, prompt: TeacherPrompt) -> list[int]:
        if self._opened.system_role:
            contents = {"system": prompt.few_shot.text, "user": prompt.dialogue}
        else:
            contents = {"user": prompt.text}
        tokenizer = self._opened.tokenizer
        chat = [{"role": role, "content": placeholder(index)} for index, role in enumerate(contents)]
        text = TEMPLATES.render(tokenizer, chat, self._template_arguments)
        return encode_parts(tokenizer, fill(text, list(contents.values())))

    def _too_long(self, ids: list[int]) -> Completion | None:
        limit = self._opened.max_tokens
        if limit is None or len(ids) + self.max_output_tokens <= limit:
            return None
        return failed(
            "error",
            f"{len(ids)} tokens of prompt and {self.max_output_tokens} of reply pass the model's {limit}: "
            "lower evolution.teacher_examples or teacher.max_output_tokens",
        )

    @torch.inference_mode()
    def _generate(self, encoded: list[list[int]], prompts: list[TeacherPrompt]) -> list[Answer]:
        opened = self._opened
        longest = max(map(len, encoded))
        # (batch, longest), padded on the left
        pad = opened.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(row)) + row for row in encoded], device=opened.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in encoded], device=opened.device)
        draw = LogitsProcessorList()
        if self._temperature is not None:
            seeds = [derive_seed(self._seed, "local_teacher", prompt.digest) for prompt in prompts]
            draw.append(SeededDraw(seeds, self._temperature, self._top_p))
        output = opened.model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=self.max_output_tokens,
            logits_processor=draw,
        )
        return [self._answer(row, new) for row, new in zip(encoded, output[:, longest:].tolist(), strict=True)]

    def _answer(self, prompt: list[int], new: list[int]) -> Answer:
        opened = self._opened
        ends, sequence = set(opened.model.generation_config.eos_token_id), list(opened.end_sequence)
        marked = (i for i in range(len(new)) if sequence and new[i : i + len(sequence)] == sequence)
        length = min((*(i for i, token in enumerate(new) if token in ends), *marked), default=None)
        said = new if length is None else new[:length]
        return Answer(
            text=thought_of(opened.tokenizer, prompt) + shown(opened.tokenizer, said),
            stop="length" if length is None else "end",
            blocked=False,
            model_version=self.model,
            usage=Usage(len(prompt), len(said) + (length is not None)),
        )
