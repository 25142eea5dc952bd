"""One cycle of one shop: serve -> judge -> pseudo-label -> fine-tune (paper, section III and Fig. 1).

Plain, sequential code about one shop. Where many shops run at once, their calls to the services
meet and run as one batch; nothing here knows of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecc_fed.core.aggregation import EVERYTHING, Patterns
from ecc_fed.core.records import (
    AdapterState,
    Asked,
    Example,
    Feedback,
    FineTuneJob,
    FromCloud,
    Judgement,
    OptimizerState,
    OwnExample,
    Pair,
    PseudoLabel,
    TeacherReply,
    TeacherRequest,
)
from ecc_fed.core.rows import Signals
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.core.truth import ShopTruth
from ecc_fed.evolution.answering.replies import reply_to, to_train_on
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.few_shots import few_shots
from ecc_fed.evolution.private_training import records
from ecc_fed.evolution.public_set import draw_with_public
from ecc_fed.evolution.routing.router import Outcome, Router
from ecc_fed.evolution.routing.signals import signals_of
from ecc_fed.evolution.settings import EvolutionSettings, LoopSettings, Services
from ecc_fed.privacy.accounting import NoisySteps


@dataclass(frozen=True)
class Served:
    """What became of a part of the stream: replies, verdicts, the pseudo-labels they led to, outcomes to route by."""

    replies: tuple[str, ...]
    judgements: tuple[Judgement | None, ...]
    feedback: tuple[Feedback | None, ...]
    cloud: tuple[TeacherReply | None, ...]
    pseudo_labels: tuple[PseudoLabel, ...]
    outcomes: tuple[Outcome, ...]
    escalated: int
    seconds: float


def ask_cloud(
    pairs: Sequence[Pair],
    examples: Sequence[Sequence[Pair]],
    purpose: str,
    server_round: int,
    services: Services,
) -> list[TeacherReply]:
    """The cloud's replies to the pairs' prompts, through the gateway; `examples` are each pair's few shots."""
    return services.gateway.answer(
        [
            TeacherRequest(
                shop_id=pair.shop_id,
                turns=pair.prompt,
                examples=tuple((example.query, example.reply) for example in shots),
                purpose=purpose,  # type: ignore[arg-type]
                customer=pair.customer,
                server_round=server_round,
                example_customers=tuple(example.customer for example in shots),
            )
            for pair, shots in zip(pairs, examples, strict=True)
        ]
    )


def ask_cloud_where(
    asked: Sequence[bool],
    pairs: Sequence[Pair],
    natural: Sequence[Pair],
    purpose: str,
    server_round: int,
    settings: LoopSettings,
    services: Services,
) -> list[TeacherReply | None]:
    """As `ask_cloud`, of the pairs that are `asked` about, with few shots of `natural` pairs; None for the others."""
    asking = [pair for pair, ask in zip(pairs, asked, strict=True) if ask]
    examples = few_shots(asking, natural, settings.evolution)
    answers = iter(ask_cloud(asking, examples, purpose, server_round, services))
    return [next(answers) if ask else None for ask in asked]


def judge_replies(
    pairs: Sequence[Pair], replies: Sequence[str], cloud: Sequence[TeacherReply | None], services: Services
) -> list[Judgement | None]:
    """Eq. (1) where the cloud answered; None without a reference to judge against, or where the judge cannot read.

    A shop on whose dialogues relevance says nothing is judged by similarity alone.
    """
    if services.scoring.withheld is not None:
        return [None] * len(pairs)
    known = [i for i, answer in enumerate(cloud) if answer is not None and answer.text is not None]
    judged = services.judge.judge(
        [pairs[i].query for i in known],
        [replies[i] for i in known],
        [answer.text for i in known if (answer := cloud[i]) is not None and answer.text is not None],
    )
    result: list[Judgement | None] = [None] * len(pairs)
    for i, judgement in zip(known, judged, strict=True):
        result[i] = services.scoring.of_shop(pairs[i].shop_id, judgement, services.judge.accept_score)
    return result


def wants_reference(
    pairs: Sequence[Pair],
    replies: Sequence[str],
    chances: Sequence[float | None],
    settings: EvolutionSettings,
    services: Services,
    rng: np.random.Generator,
) -> list[bool]:
    """Which replies go to the cloud for a reference before their customers have said anything.

    `chances` that each reply is good; None where nothing is known of it yet. None does where no score would come of it.
    """
    if services.scoring.withheld is not None:
        return [False] * len(pairs)
    if settings.reference == "always":
        return [True] * len(pairs)
    if settings.reference == "sampled":
        return [bool(draw < settings.reference_rate) for draw in rng.random(len(pairs))]
    if settings.reference == "routed":
        return [
            chance is None or chance < settings.route_confidence or bool(draw < settings.explore_rate)
            for chance, draw in zip(chances, rng.random(len(pairs)), strict=True)
        ]
    relevance = services.judge.relevance([pair.query for pair in pairs], replies)
    return [bool(score < settings.gate_relevance) for score in relevance]


def outcomes_of(
    chosen: Sequence[bool],
    signals: Sequence[Signals],
    judgements: Sequence[Judgement | None],
    unhappy: Sequence[bool],
    settings: EvolutionSettings,
    server_round: int,
) -> tuple[Outcome, ...]:
    """What a router may learn from: chosen replies that were judged. A gate chooses by what it thinks of the reply."""
    if settings.reference == "gated":
        return ()
    return tuple(
        Outcome(server_round, signal, judgement.accepted and not sad)
        for choice, signal, judgement, sad in zip(chosen, signals, judgements, unhappy, strict=True)
        if choice and judgement is not None
    )


def serve(
    pairs: Sequence[Pair],
    adapter: AdapterState | None,
    experience: Experience,
    truth: ShopTruth,
    settings: LoopSettings,
    services: Services,
    server_round: int,
    seed: int,
    outcomes: Sequence[Outcome] = (),
) -> Served:
    """Answers a part of the stream and turns what went badly into pseudo-labels.

    Args:
        pairs: queries to serve, one shop's, in time order.
        adapter: the shop's adapter; None is the bare base.
        experience: of the shop so far: what it may answer from; its natural pairs are also examples for the cloud's
            prompt, and what a question may be near to.
        truth: what played customers know of the pairs; nothing else looks at it.
        settings: the shop's loop.
        services: models and gateway.
        server_round: for the records.
        seed: the cycle's seed.
        outcomes: of the shop's former replies, from which a router learns.
    """
    started = time.perf_counter()
    if not pairs:
        return Served((), (), (), (), (), (), 0, 0.0)
    prepared = services.answering.prepare([Asked(pair.prompt, pair.pair_id) for pair in pairs], experience.known())
    by_cloud = [isinstance(each, FromCloud) for each in prepared]
    said: list[TeacherReply | None] = [None] * len(pairs)
    if any(by_cloud):
        said = ask_cloud_where(by_cloud, pairs, experience.natural, "serve", server_round, settings, services)
    draws = derive_seed(seed, "reply")
    answered = reply_to(prepared, adapter, settings.decoding, services.end_model, draws, said)
    replies = [reply.text for reply in answered]
    signals = signals_of(pairs, [reply.margin for reply in answered], experience.natural)
    chosen = wants_reference(
        pairs, replies, Router(outcomes).chances(signals), settings.evolution, services, derive_rng(seed, "reference")
    )
    truths = [truth.get(pair.pair_id) for pair in pairs]
    feedback = services.feedback.feedback(pairs, truths, replies, derive_seed(seed, "feedback"))
    unhappy = [verdict is not None and not verdict.satisfied for verdict in feedback]
    # Of its own reply the cloud is asked nothing more, and nobody holds it against itself.
    asked = [(wanted or sad) and not own for wanted, sad, own in zip(chosen, unhappy, by_cloud, strict=True)]
    cloud = ask_cloud_where(asked, pairs, experience.natural, "judge", server_round, settings, services)
    judgements = judge_replies(pairs, replies, cloud, services)
    labels: list[PseudoLabel] = []
    escalated = 0
    for pair, sad, judgement, answer in zip(pairs, unhappy, judgements, cloud, strict=True):
        low = judgement is not None and not judgement.accepted
        escalated += sad or low
        if (sad or low) and answer is not None and answer.text is not None:
            labels.append(
                PseudoLabel(
                    pair_id=pair.pair_id,
                    prompt=pair.prompt,
                    reply=answer.text,
                    model_version=answer.model_version,
                    reason="low_score" if low else "unhappy_customer",
                    server_round=server_round,
                )
            )
    return Served(
        tuple(replies),
        tuple(judgements),
        tuple(feedback),
        tuple(own or other for own, other in zip(said, cloud, strict=True)),
        tuple(labels),
        outcomes_of(chosen, signals, judgements, unhappy, settings.evolution, server_round),
        escalated,
        time.perf_counter() - started,
    )


@dataclass(frozen=True)
class Learned:
    """The adapter after fine-tuning, with its optimizer and losses."""

    adapter: AdapterState
    optimizer: OptimizerState | None
    losses: tuple[float, ...]
    num_examples: int
    seconds: float
    gradient: AdapterState | None = None
    # Under a privacy budget: the steps taken.
    noisy: NoisySteps | None = None


def lesson(
    experience: Experience,
    settings: LoopSettings,
    services: Services,
    seed: int,
    public: Sequence[OwnExample] = (),
) -> tuple[Example, ...]:
    """A fresh draw from a shop's experience and the declared share of `public` examples, as its model reads them.

    Nothing where shops do not train. Under a privacy budget all of the experience, from which the steps draw.
    """
    if not settings.trains:
        return ()
    if settings.private is not None:
        return to_train_on(records(experience), experience.known(), services.answering)
    count = settings.fine_tune.steps * settings.fine_tune.batch_size
    drawn = draw_with_public(experience, public, count, settings, seed)
    return to_train_on(drawn, experience.known(), services.answering)


def learn(
    experience: Experience,
    adapter: AdapterState,
    optimizer: OptimizerState | None,
    settings: LoopSettings,
    services: Services,
    seed: int,
    trained: Patterns = EVERYTHING,
    anchor: AdapterState | None = None,
    correction: AdapterState | None = None,
    spent: Sequence[NoisySteps] = (),
    public: Sequence[OwnExample] = (),
) -> Learned:
    """Fine-tunes the `trained` tensors on a fresh draw from the shop's experience; without any, nothing changes.

    Nor does it where shops do not train, or where their model is never asked.
    `anchor` is where the settings' `prox_mu` pulls; with a `correction` of gradients their mean is told, too. `public`
    are the examples that stand beside the experience, as in `lesson`. Under a privacy budget, of which `spent` is gone,
    nothing is learned once the run's steps are taken.
    """
    started = time.perf_counter()
    examples, tuning = lesson(experience, settings, services, seed, public), settings.fine_tune
    private = settings.private
    noisy = private.next_steps(spent, len(examples), tuning) if private is not None and examples else None
    if not examples or (private is not None and noisy is None):
        return Learned(adapter, optimizer, (), 0, 0.0)
    num_examples = len(examples)
    if private is not None and noisy is not None:
        # What goes up is how many examples the steps draw in the mean: how many records there are stays at home.
        tuning, num_examples = replace(tuning, steps=noisy.steps), noisy.steps * tuning.batch_size
    job = FineTuneJob(
        adapter,
        optimizer,
        examples,
        tuning,
        derive_seed(seed, "fine_tune") if private is None else private.seed(seed),
        gradient=None if private is None or noisy is None else private.rule(noisy),
        decay_steps=settings.decay_steps,
        trained=trained,
        anchor=anchor,
        correction=correction,
    )
    result = services.end_model.fine_tune([job])[0]
    seconds = time.perf_counter() - started
    return Learned(result.adapter, result.optimizer, result.losses, num_examples, seconds, result.gradient, noisy)
