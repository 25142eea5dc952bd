"""The warm start: before its first round, a shop learns from its history and from the cloud's generated replies.

The paper trains the end model so before it is deployed, on "a natural dataset and the generated
dataset" (section III); here the ratio of the two is declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ecc_fed.core.aggregation import EVERYTHING, Patterns
from ecc_fed.core.errors import CorpusError
from ecc_fed.core.records import AdapterState, PseudoLabel, Shop
from ecc_fed.core.rows import MetricRow
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.loop import Learned, learn
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.evolution.text_masks import masked
from ecc_fed.teacher.distillation.generated import Generated


def shared_rows(rows: Sequence[Generated]) -> tuple[PseudoLabel, ...]:
    """All rows, for every shop: the set is public."""
    return tuple(_label(row) for row in rows)


def own_rows(shop: Shop, rows: Sequence[Generated], name: str) -> tuple[PseudoLabel, ...]:
    """The rows of the shop's own dialogues; `name` is the set's, for errors.

    Raises:
        CorpusError: there is none, or a row is of another corpus, or asks what the shop is tested on.
    """
    prompts = {pair.pair_id: pair.prompt for pair in (*shop.history, *shop.stream)}
    own = [row for row in rows if row.shop_id == shop.shop_id]
    for row in own:
        if prompts.get(row.pair_id) != row.prompt:
            raise CorpusError(
                f"evolution.warm_start.path={name} was made from another corpus, seed or partition: its pair "
                f"{row.pair_id} is not in the history and stream of {shop.shop_id} here. Run `ecc-fed distill` with "
                "this run's settings, or declare the set public with evolution.warm_start.shared=true."
            )
    if not own:
        raise CorpusError(
            f"evolution.warm_start.path={name} has no row of {shop.shop_id}. Go on with the `ecc-fed distill` that "
            "wrote it, or declare the set public with evolution.warm_start.shared=true."
        )
    return shared_rows(own)


def _label(row: Generated) -> PseudoLabel:
    return PseudoLabel(row.pair_id, row.prompt, row.reply, row.model_version, "distilled", 0)


def start_warm(
    shop: Shop,
    adapter: AdapterState,
    generated: Sequence[PseudoLabel],
    settings: LoopSettings,
    services: Services,
    seed: int,
    trained: Patterns = EVERYTHING,
) -> Learned:
    """Trains a fresh adapter on history and `generated` replies mixed; the rounds' optimizer starts afresh after it.

    Tensors that are not `trained` stay as they were drawn, the same in every shop.
    """
    warm = settings.evolution.warm_start
    experience = masked(Experience(shop.history, tuple(generated)), services.training_redactor, shop)
    # A run of one cycle: its learning rate decays over its own steps.
    evolution = replace(settings.evolution, server_rounds=1, cycles=1, pseudo_share=warm.generated_share)
    fine_tune = replace(settings.fine_tune, steps=warm.steps)
    first = replace(settings, fine_tune=fine_tune, evolution=evolution)
    return learn(experience, adapter, None, first, services, seed, trained)


def warm_start_row(shop_id: str, learned: Learned) -> MetricRow:
    """What a shop learned before its first round, when it served nobody and asked nothing."""
    return MetricRow(
        server_round=0,
        cycle=0,
        shop_id=shop_id,
        split="warm_start",
        served=0,
        escalated=0,
        unhappy=0,
        mean_score=None,
        pseudo_labels=0,
        natural_pairs=0,
        train_loss=sum(learned.losses) / len(learned.losses) if learned.losses else None,
        steps=len(learned.losses),
        teacher_requests=0,
        teacher_cached=0,
        teacher_failed=0,
        teacher_errors=(),
        input_tokens=0,
        output_tokens=0,
        cost_usd=0.0,
        serve_seconds=0.0,
        train_seconds=learned.seconds,
    )
