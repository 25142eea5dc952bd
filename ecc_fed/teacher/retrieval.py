"""The simulated teacher: a stand-in for a large model that has learnt from N in-context examples.

It answers with the answer of the few-shot example whose question is nearest to the customer's, so
what it knows of a shop is what the shop sent. Latency, price and error rate are declared, never
measured: nothing here waits.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from ecc_fed.core.protocols import TextEncoder
from ecc_fed.core.records import Array
from ecc_fed.core.seeding import derive_rng
from ecc_fed.teacher.backend import Completion
from ecc_fed.teacher.encoding import BigramEncoder
from ecc_fed.teacher.prompts import Language, TeacherPrompt, estimate_tokens
from ecc_fed.teacher.ranges import require_range

WITHOUT_EXAMPLES: dict[Language, str] = {
    "zh": "抱歉，这个问题我暂时不能确定，请稍等，核实之后马上回复您。",
    "en": "Sorry, I am not sure about that yet. Please hold on while I check, I will be right back to you.",
}
# Equal questions must tie although a matrix product rounds row by row.
_ROUNDING = 1e-6
_REMEMBERED_TEXTS = 32_768


class RetrievalTeacher:
    """A simulated `Backend` that looks the answer up among the prompt's examples.

    Symbols: q the customer's last turn, q' the turn before it and q together, e(.) the encoder:
    an example with question x scores (1 - context_weight) e(q).e(x) + context_weight e(q').e(x),
    so that an elliptic follow-up ("那红色的呢") is read with what came before. Among the examples
    within `tie_margin` of the best, the most recent answers: where a fact changed, the news wins.

    Args:
        encoder: `TextEncoder` of the questions; None is `BigramEncoder()`.
        context_weight: share of q', 0 to 1.
        tie_margin: cosine within which recency decides, 0 to 2.
        error_rate: share of prompts, 0 to 1, answered by another example's different answer.
        latency_seconds: declared latency of a call.
        input_usd_per_million_tokens: declared price of what is sent (tokens by `estimate_tokens`).
        output_usd_per_million_tokens: declared price of what comes back.
        max_output_tokens: longer answers are cut here.
        seed: of the errors; whether and how a prompt is answered wrongly depends on (seed, prompt) alone.
    """

    name = "simulated teacher (retrieval)"
    model = "simulated-retrieval-1"
    max_batch = 4096

    def __init__(
        self,
        encoder: TextEncoder | None = None,
        context_weight: float = 0.3,
        tie_margin: float = 0.0,
        error_rate: float = 0.0,
        latency_seconds: float = 0.0,
        input_usd_per_million_tokens: float = 0.0,
        output_usd_per_million_tokens: float = 0.0,
        max_output_tokens: int = 1024,
        seed: int = 0,
    ) -> None:
        require_range("teacher.context_weight", context_weight, 0, 1)
        require_range("teacher.tie_margin", tie_margin, 0, 2)
        require_range("teacher.error_rate", error_rate, 0, 1)
        require_range("teacher.latency_seconds", latency_seconds, 0)
        require_range("teacher.input_usd_per_million_tokens", input_usd_per_million_tokens, 0)
        require_range("teacher.output_usd_per_million_tokens", output_usd_per_million_tokens, 0)
        require_range("teacher.max_output_tokens", max_output_tokens, 1)
        self._encoder = BigramEncoder() if encoder is None else encoder
        self._context_weight = context_weight
        self._tie_margin = tie_margin
        self._error_rate = error_rate
        self._latency_seconds = latency_seconds
        self.input_usd_per_million_tokens = input_usd_per_million_tokens
        self.output_usd_per_million_tokens = output_usd_per_million_tokens
        self.max_output_tokens = max_output_tokens
        self._seed = seed
        self._vectors: dict[str, Array] = {}
        self._lock = threading.Lock()
        # Two encoders of one class may hold different weights: what one makes of a text tells them apart.
        probe = np.round(self._encoder.encode(["你好，请问发什么快递？"]), 3) + np.float32(0)
        self.decoding: Mapping[str, str | int | float] = {
            "encoder": hashlib.sha256(probe.tobytes()).hexdigest()[:16],
            "context_weight": context_weight,
            "tie_margin": tie_margin,
            "error_rate": error_rate,
            "max_output_tokens": max_output_tokens,
            "seed": seed,
        }

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        """The nearest example's answer for every prompt; always "ok" and never waits."""
        with self._lock:
            self._remember(prompts)
            parts = {id(prompt.few_shot): prompt.few_shot for prompt in prompts}
            # part -> (examples, dimensions)
            questions = {
                key: np.stack([self._vectors[question] for question, _ in part.examples])
                for key, part in parts.items()
                if part.examples
            }
            return [
                self._completion(prompt, self._answer(prompt, questions.get(id(prompt.few_shot)))) for prompt in prompts
            ]

    def _remember(self, prompts: Sequence[TeacherPrompt]) -> None:
        """Encodes every text of the batch that is new, in one go."""
        parts = {id(prompt.few_shot): prompt.few_shot for prompt in prompts}.values()
        texts = dict.fromkeys(question for part in parts for question, _ in part.examples)
        texts |= dict.fromkeys(text for prompt in prompts for text in _readings(prompt))
        if len(self._vectors) + len(texts) > _REMEMBERED_TEXTS:
            self._vectors = {text: vector for text, vector in self._vectors.items() if text in texts}
        new = [text for text in texts if text not in self._vectors]
        if new:
            self._vectors.update(zip(new, self._encoder.encode(new), strict=True))

    def _answer(self, prompt: TeacherPrompt, questions: Array | None) -> str:
        examples = prompt.few_shot.examples
        if questions is None:
            return WITHOUT_EXAMPLES[prompt.few_shot.language]
        alone, together = (self._vectors[text] for text in _readings(prompt))
        query = (1 - self._context_weight) * alone + self._context_weight * together
        # (examples, dimensions) @ (dimensions,): one prompt at a time, so that no neighbour moves the rounding.
        scores = questions @ query
        right = examples[int(np.flatnonzero(scores >= scores.max() - self._tie_margin - _ROUNDING)[-1])][1]
        rng = derive_rng(self._seed, "simulated_teacher", prompt.digest)
        if rng.random() >= self._error_rate:
            return right
        wrong = [answer for _, answer in examples if answer != right]
        return wrong[int(rng.integers(len(wrong)))] if wrong else WITHOUT_EXAMPLES[prompt.few_shot.language]

    def _completion(self, prompt: TeacherPrompt, answer: str) -> Completion:
        text = answer[: self.max_output_tokens]
        return Completion(
            text=text,
            outcome="ok",
            model_version=self.model,
            input_tokens=prompt.tokens,
            output_tokens=estimate_tokens(text),
            latency_seconds=self._latency_seconds,
        )


def _readings(prompt: TeacherPrompt) -> tuple[str, str]:
    """The customer's last turn, alone and together with the customer's turn before it."""
    said = [turn.text for turn in prompt.turns if turn.role == "customer"] or [prompt.turns[-1].text]
    return said[-1], " ".join(said[-2:])
