"""Small deterministic stand-ins for the services, and hand-made shops."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecc_fed.core.records import (
    AdapterState,
    Array,
    EgressEntry,
    Feedback,
    FineTuneJob,
    FineTuneResult,
    FineTuneSettings,
    Judgement,
    Likelihood,
    LikelihoodRequest,
    MeasuredReply,
    Pair,
    ReplyRequest,
    Shop,
    TeacherReply,
    TeacherRequest,
)
from ecc_fed.core.truth import Fact, Truth
from ecc_fed.end_model.adapters.files import save_adapter
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.evolution.settings import EvolutionSettings, LoopSettings, Services
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.teacher.gateway.budget import Budget

NAMES = ("base_model.model.q_proj.lora_A.weight", "base_model.model.q_proj.lora_B.weight")


class CountingModel:
    """Answers with the number of steps its adapter has seen; a fine-tune adds one a step.

    Its tensors come in no order of their names, as those of a real engine.
    """

    def __init__(self) -> None:
        self.jobs: list[FineTuneJob] = []

    def new_adapter(self, seed: int) -> AdapterState:
        return {NAMES[1]: np.zeros((3, 2), np.float32), NAMES[0]: np.full((2, 3), seed % 7, np.float32)}

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        def text(adapter: AdapterState | None, query: str) -> str:
            steps = 0 if adapter is None else int(adapter[NAMES[1]][0, 0])
            return f"good {query}" if steps >= 4 else f"bad {query}"

        return [[text(request.adapter, prompt[-1].text) for prompt in request.prompts] for request in requests]

    def measured_reply(self, requests: Sequence[ReplyRequest]) -> list[list[MeasuredReply]]:
        return [[MeasuredReply(text, self.margin(text)) for text in texts] for texts in self.reply(requests)]

    @staticmethod
    def margin(text: str) -> float:
        """Any number that depends on the text alone."""
        return sum(map(ord, text)) % 101 / 100

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        self.jobs.extend(jobs)
        results = []
        for job in jobs:
            steps = job.settings.steps
            start = 0.0 if job.optimizer is None else float(job.optimizer["step"])
            adapter = {NAMES[1]: job.adapter[NAMES[1]] + np.float32(steps), NAMES[0]: job.adapter[NAMES[0]]}
            results.append(
                FineTuneResult(adapter, {"step": np.array(start + steps, np.float32)}, (1.0,) * steps, steps)
            )
        return results

    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        return [[Likelihood(2.0, 2, len(e.reply)) for e in request.examples] for request in requests]

    def count_tokens(self, text: str) -> int:
        return len(text)


class MixingModel(CountingModel):
    """What a shop gets depends on who shares its call, as the last bits of a real engine do."""

    def reply(self, requests: Sequence[ReplyRequest]) -> list[list[str]]:
        mark = sum(request.seed % 997 for request in requests)
        return [[f"{text} beside {mark}" for text in texts] for texts in super().reply(requests)]

    def fine_tune(self, jobs: Sequence[FineTuneJob]) -> list[FineTuneResult]:
        mark = np.float32(sum(job.seed % 997 for job in jobs) / 1e6)
        return [
            replace(result, adapter={name: tensor + mark for name, tensor in result.adapter.items()})
            for result in super().fine_tune(jobs)
        ]


class PrefixJudge:
    """Accepts replies that begin with "good"."""

    accept_score = 0.5

    def judge(self, queries: Sequence[str], replies: Sequence[str], cloud_replies: Sequence[str]) -> list[Judgement]:
        scores = [float(reply.startswith("good")) for reply in replies]
        return [Judgement(score, score, 1.0, score, True, score >= 0.5) for score in scores]

    def relevance(self, queries: Sequence[str], replies: Sequence[str]) -> Array:
        return np.array([reply.startswith("good") for reply in replies], np.float32)


class EchoGateway:
    """Answers "cloud <query>" and writes every byte to the ledger; `dead` makes every call fail."""

    name = "echo"

    def __init__(self, ledger: MemoryLedger, dead: bool = False) -> None:
        self.ledger, self.dead, self.requests = ledger, dead, list[TeacherRequest]()
        self.budget = Budget()

    def answer(self, requests: Sequence[TeacherRequest]) -> list[TeacherReply]:
        self.requests.extend(requests)
        replies = []
        for request in requests:
            text = request.turns[-1].text
            size, purpose = len(text.encode()), {"purpose": request.purpose}
            place = (request.shop_id, request.server_round, "cloud_teacher")
            self.ledger.record(EgressEntry(*place, "up", "query", size, "none", purpose))
            if self.dead:
                replies.append(TeacherReply(None, "unavailable", "echo-1", detail="gone"))
            else:
                replies.append(TeacherReply(f"cloud {text}", "ok", "echo-1", 3, 2, 0.5))
        return replies


class Silent:
    """A customer who never says anything; `verdict` makes them all say the same."""

    def __init__(self, verdict: bool | None = None) -> None:
        self.verdict = verdict

    def feedback(
        self, pairs: Sequence[Pair], truths: Sequence[Truth | None], replies: Sequence[str], seed: int
    ) -> list[Feedback | None]:
        return [None if self.verdict is None else Feedback(self.verdict) for _ in pairs]


def services(dead_teacher: bool = False, verdict: bool | None = None) -> Services:
    ledger = MemoryLedger()
    return Services(CountingModel(), PrefixJudge(), EchoGateway(ledger, dead_teacher), Silent(verdict), ledger)


def settings(**changes: object) -> LoopSettings:
    """Small ones; `fine_tune` and `decoding` are those of the loop, all else is the evolution's."""
    own = {name: changes.pop(name) for name in ("fine_tune", "decoding") if name in changes}
    evolution = EvolutionSettings(**{"server_rounds": 2, **changes})  # type: ignore[arg-type]
    return LoopSettings(evolution, **{"fine_tune": FineTuneSettings(steps=2, batch_size=2), **own})  # type: ignore[arg-type]


def courier(value: str = "圆通") -> Fact:
    return Fact("courier", "courier", "shop", (value,), ("申通", "中通", "韵达"))


def about(*facts: Fact) -> Truth:
    return Truth(facts=facts)


def pair(shop_id: str, name: str, reply: str = "发圆通") -> Pair:
    return Pair(f"{shop_id}/{name}", f"s-{name}", shop_id, (), f"q {name}", reply)


def shop(shop_id: str = "shop_0", num_history: int = 4, num_stream: int = 8, num_test: int = 3) -> Shop:
    return Shop(
        shop_id,
        tuple(pair(shop_id, f"h{i}") for i in range(num_history)),
        tuple(pair(shop_id, f"s{i}") for i in range(num_stream)),
        tuple(pair(shop_id, f"t{i}") for i in range(num_test)),
    )


def truth_of(shops: Sequence[Shop]) -> dict[str, dict[str, Truth]]:
    """History and test ask for the courier; nothing is known of the stream."""
    return {shop.shop_id: {pair.pair_id: about(courier()) for pair in (*shop.history, *shop.test)} for shop in shops}


def write_adapter(path: Path, state: AdapterState) -> None:
    save_adapter(path, state, Lora(rank=2, target_modules=("q_proj",)), "base")
