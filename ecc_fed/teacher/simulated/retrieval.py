"""The simulated teacher: a stand-in for a large model that has learnt from N in-context examples.

It answers with the answer of the few-shot example whose question is nearest to the customer's, so
what it knows of a shop is what the shop sent. Latency, price and error rate are declared, never
measured: nothing here waits.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecc_fed.core.completion import Completion, FewShotPart, Language, TeacherPrompt, estimate_tokens
from ecc_fed.core.protocols import TextEncoder
from ecc_fed.core.ranges import require_number
from ecc_fed.core.records import Array
from ecc_fed.core.seeding import derive_rng
from ecc_fed.teacher.simulated.encoding import CharacterEncoder, WordEncoder

WITHOUT_EXAMPLES: dict[Language, str] = {
    "zh": "抱歉，这个问题我暂时不能确定，请稍等，核实之后马上回复您。",
    "en": "Sorry, I am not sure about that yet. Please hold on while I check, I will be right back to you.",
}
# Equal questions must tie although a matrix product rounds row by row.
_ROUNDING = 1e-5
_REMEMBERED_BYTES = 2**27


@dataclass(frozen=True, slots=True)
class _Learnt:
    """A shop's examples: features' weights (dimensions,), questions and the mix to match (examples, dimensions)."""

    weights: Array
    questions: Array
    known: Array


class RetrievalTeacher:
    """A simulated `Teacher` that looks the answer up among the prompt's examples.

    Symbols: q the customer's last turn, q' the turn before it and q together, x and y an example's
    question and answer, e(.) the encoder, each feature of it weighted by how rare it is among the
    examples (`rarity`). An example scores
        (1 - context_weight) s(q) + context_weight s(q'),   s(q) = c(q, x) + answer_weight c(q, y),
        c(a, b) = cos(e(a), e(b)) + meaning_weight cos(m(a), m(b)),
    m(.) an encoder trained to bring a question, its paraphrases and its answers together. So an elliptic
    follow-up ("那红色的呢") is read with what came before, and an answer that speaks of what was asked
    counts. Where the best example's question was asked more than once, the
    most recent of its answers is given: where a fact changed, the news wins.

    Args:
        encoder: `TextEncoder` of the texts; None is `CharacterEncoder()`, and `WordEncoder()` for English prompts.
        meaning: `TextEncoder` m(.) with rows of unit norm; None goes by e(.) alone.
        meaning_weight: weight of m(.), 0 to 10.
        context_weight: share of q', 0 to 1.
        answer_weight: weight of the examples' answers, 0 to 10.
        same_question: cosine from which two examples' questions count as one question, 0 to 1.
        error_rate: share of prompts, 0 to 1, answered by another example's different answer.
        latency_seconds: declared latency of a call.
        input_usd_per_million_tokens: declared price of what is sent (tokens by `estimate_tokens`).
        output_usd_per_million_tokens: declared price of what comes back.
        max_output_tokens: longer answers are cut here.
        seed: of the errors; whether and how a prompt is answered wrongly depends on (seed, prompt) alone.
    """

    name = "simulated teacher (retrieval)"
    model = "simulated-retrieval-1"
    remote = False
    max_batch = 4096

    def __init__(
        self,
        encoder: TextEncoder | None = None,
        meaning: TextEncoder | None = None,
        meaning_weight: float = 1.0,
        context_weight: float = 0.3,
        answer_weight: float = 1.0,
        same_question: float = 1.0,
        error_rate: float = 0.0,
        latency_seconds: float = 0.0,
        input_usd_per_million_tokens: float = 0.0,
        output_usd_per_million_tokens: float = 0.0,
        max_output_tokens: int = 1024,
        seed: int = 0,
    ) -> None:
        require_number("teacher.context_weight", context_weight, 0, 1)
        require_number("teacher.meaning_weight", meaning_weight, 0, 10)
        require_number("teacher.answer_weight", answer_weight, 0, 10)
        require_number("teacher.same_question", same_question, 0, 1)
        require_number("teacher.error_rate", error_rate, 0, 1)
        require_number("teacher.latency_seconds", latency_seconds, 0)
        require_number("teacher.input_usd_per_million_tokens", input_usd_per_million_tokens, 0)
        require_number("teacher.output_usd_per_million_tokens", output_usd_per_million_tokens, 0)
        require_number("teacher.max_output_tokens", max_output_tokens, 1)
        self._encoders: dict[Language, TextEncoder] = {
            "zh": CharacterEncoder() if encoder is None else encoder,
            "en": WordEncoder() if encoder is None else encoder,
        }
        self._meaning = meaning
        self._meaning_weight = meaning_weight if meaning is not None else 0.0
        self._context_weight = context_weight
        self._answer_weight = answer_weight
        self._same_question = same_question
        self._error_rate = error_rate
        self._latency_seconds = latency_seconds
        self.input_usd_per_million_tokens = input_usd_per_million_tokens
        self.output_usd_per_million_tokens = output_usd_per_million_tokens
        self.max_output_tokens = max_output_tokens
        self._seed = seed
        self._vectors: dict[tuple[Language, str], Array] = {}
        self._meanings: dict[tuple[Language, str], Array] = {}
        self._lock = threading.Lock()
        # Two encoders of one class may hold different weights: what one makes of a text tells them apart.
        encoders = [*self._encoders.values(), *([] if meaning is None else [meaning])]
        said = "你好，请问发什么快递？"
        probe = np.concatenate([np.round(each.encode([said])[0], 3) for each in encoders]) + np.float32(0)
        self.decoding: Mapping[str, str | int | float] = {
            "encoder": hashlib.sha256(probe.tobytes()).hexdigest()[:16],
            "meaning_weight": self._meaning_weight,
            "context_weight": context_weight,
            "answer_weight": answer_weight,
            "same_question": same_question,
            "error_rate": error_rate,
            "max_output_tokens": max_output_tokens,
            "seed": seed,
        }

    def complete(self, prompts: Sequence[TeacherPrompt], timeout_seconds: float) -> list[Completion]:
        """The nearest example's answer for every prompt; always "ok" and never waits."""
        with self._lock:
            self._remember(prompts)
            parts = {id(prompt.few_shot): prompt.few_shot for prompt in prompts}
            learnt = {key: self._learn(part) for key, part in parts.items()}
            return [self._completion(prompt, self._answer(prompt, learnt[id(prompt.few_shot)])) for prompt in prompts]

    def _remember(self, prompts: Sequence[TeacherPrompt]) -> None:
        """Encodes every text of the batch that is new, in one go."""
        parts = {id(prompt.few_shot): prompt.few_shot for prompt in prompts}.values()
        texts = dict.fromkeys((part.language, text) for part in parts for example in part.examples for text in example)
        texts |= dict.fromkeys((prompt.few_shot.language, text) for prompt in prompts for text in _readings(prompt))
        width = next(iter(self._vectors.values())).nbytes if self._vectors else 0
        if width * len(self._vectors) > _REMEMBERED_BYTES:
            self._vectors = {text: vector for text, vector in self._vectors.items() if text in texts}
            self._meanings = {text: vector for text, vector in self._meanings.items() if text in texts}
        for language, encoder in self._encoders.items():
            new = [key for key in texts if key[0] == language and key not in self._vectors]
            if new:
                self._vectors.update(zip(new, encoder.encode([text for _, text in new]), strict=True))
                if self._meaning is not None:
                    self._meanings.update(zip(new, self._meaning.encode([text for _, text in new]), strict=True))

    def _learn(self, part: FewShotPart) -> _Learnt | None:
        if not part.examples:
            return None
        asked, answered = ([(part.language, text) for text in side] for side in zip(*part.examples, strict=True))
        questions, answers = (np.stack([self._vectors[key] for key in side]) for side in (asked, answered))
        weights = rarity((questions != 0) | (answers != 0))
        questions = self._joined(questions * weights, asked)
        answers = self._joined(answers * weights, answered)
        return _Learnt(weights, questions, questions + np.float32(self._answer_weight) * answers)

    def _answer(self, prompt: TeacherPrompt, learnt: _Learnt | None) -> str:
        examples = prompt.few_shot.examples
        if learnt is None:
            return WITHOUT_EXAMPLES[prompt.few_shot.language]
        read = [(prompt.few_shot.language, text) for text in _readings(prompt)]
        alone, together = (self._joined((self._vectors[key] * learnt.weights)[None], [key])[0] for key in read)
        query = (1 - self._context_weight) * alone + self._context_weight * together
        # (examples, dimensions) @ (dimensions,): one prompt at a time, so that no neighbour moves the rounding.
        best = _last_above(learnt.known @ query, None)
        same = self._same_question * (1 + self._meaning_weight)
        latest = _last_above(learnt.questions @ learnt.questions[best], same)
        right = examples[max(best, latest)][1]
        rng = derive_rng(self._seed, "simulated_teacher", prompt.digest)
        if rng.random() >= self._error_rate:
            return right
        wrong = [answer for _, answer in examples if answer != right]
        return wrong[int(rng.integers(len(wrong)))] if wrong else WITHOUT_EXAMPLES[prompt.few_shot.language]

    def _joined(self, weighted: Array, texts: Sequence[tuple[Language, str]]) -> Array:
        """(texts, dimensions of e and m): a product of two such rows is c(a, b)."""
        rows = _unit(weighted)
        if self._meaning is None:
            return rows
        meanings = np.stack([self._meanings[text] for text in texts])
        joined: Array = np.concatenate([rows, np.float32(self._meaning_weight**0.5) * meanings], axis=1)
        return joined

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


def rarity(present: npt.NDArray[np.bool_]) -> Array:
    """Inverse document frequency ln((n + 1) / (df + 1/2)) of each feature over n examples, df of which have it.

    `present` is (examples, dimensions), the result (dimensions,) and above 0. A dense encoder has
    every feature in every text: all weights are equal then, and cosines stay as they were.
    """
    weights: Array = np.log((len(present) + 1) / (present.sum(axis=0) + 0.5)).astype(np.float32)
    return weights


def _unit(rows: Array) -> Array:
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    units: Array = (rows / np.maximum(norms, 1e-30)).astype(np.float32)
    return units


def _last_above(scores: Array, threshold: float | None) -> int:
    """The last position that reaches `threshold` (None: the maximum), up to rounding."""
    wanted = float(scores.max()) if threshold is None else threshold
    return int(np.flatnonzero(scores >= wanted - _ROUNDING)[-1])


def _readings(prompt: TeacherPrompt) -> tuple[str, str]:
    """The customer's last turn, alone and together with the customer's turn before it."""
    said = [turn.text for turn in prompt.turns if turn.role == "customer"] or [prompt.turns[-1].text]
    return said[-1], " ".join(said[-2:])
