"""What the adapters of a finished run tell of the dialogues behind them: membership, planted secrets, private values.

Whoever attacks holds an adapter, and knows the base. Whose adapter it is, is the target: nobody's (the bare base, the
control), the shop's own (what the server sees of it in arms that upload, or a thief of the device), or the one that the
server last sent another shop. What is true of the pairs is for the attacks alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from ecc_fed.assembly.build import build_end_model
from ecc_fed.assembly.federation import build_plan
from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import (
    AdapterState,
    Decoding,
    Example,
    Likelihood,
    LikelihoodRequest,
    Pair,
    ReplyRequest,
    Shop,
    Turn,
)
from ecc_fed.core.rows import AttackRow, AttackTarget, write_rows
from ecc_fed.core.seeding import adapter_seed, derive_seed
from ecc_fed.core.truth import Canary, ShopTruth
from ecc_fed.corpus.simulator.canaries import draw_secret
from ecc_fed.end_model.adapters.tensors import of_rank
from ecc_fed.evolution.downlink import received
from ecc_fed.evolution.own_alpha import AtAlpha
from ecc_fed.evolution.shop_state import ShopState
from ecc_fed.federation.checkpoint import load_checkpoint
from ecc_fed.privacy.attacks.exposure import exposure_bits
from ecc_fed.privacy.attacks.membership import loss_score, ratio_score
from ecc_fed.runs.finished_run import FinishedRun, end_state, trained_corpus

# 13 bits.
CANDIDATES = 8192
_AT_ONCE = 256
_GREEDY = Decoding(sample=False)
OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class Victim:
    """A shop, what is true of its pairs, its state at the end, and the adapters to attack (None: the bare base)."""

    shop: Shop
    truth: ShopTruth
    state: ShopState
    adapters: Mapping[AttackTarget, tuple[AdapterState | None, EndModel]]


def attack(run: FinishedRun, candidates: int = CANDIDATES, on_step: OnStep = lambda done, of: None) -> int:
    """Attacks every shop of the run, and writes `attacks/rows.jsonl` into it.

    Args:
        run: a finished run whose shops trained.
        candidates: among which a planted secret is ranked, itself included.
        on_step: told after every adapter, with the number of all.

    Returns:
        The number of rows.

    Raises:
        UserError: as `trained_corpus`.
        EccError: corpus, model or states cannot be read.
    """
    victims = list(_victims(run))
    of, done, rows = sum(len(victim.adapters) for victim in victims), 0, list[AttackRow]()
    for victim in victims:
        base: Sequence[Likelihood] | None = None
        known, members = _pairs_to_tell(victim)
        for target, (adapter, model) in victim.adapters.items():
            found = _likelihoods(model, adapter, [Example(pair.prompt, pair.reply) for pair in known])
            base = found if base is None else base
            rows += _membership(target, known, members, found, base)
            rows += _exposure(target, victim, adapter, model, candidates, run.config.seed)
            rows += _extraction(target, victim, adapter, model)
            done += 1
            on_step(done, of)
    write_rows(run.directory.attacks / "rows.jsonl", rows)
    return len(rows)


def _victims(run: FinishedRun) -> Iterator[Victim]:
    config, corpus = trained_corpus(run, run.shop_ids, "nothing to attack")
    plan = build_plan(config)
    end_model = build_end_model(config)
    fresh = end_model.new_adapter(adapter_seed(config.seed))
    ranks, alphas = config.adapter.ranks_of(run.shop_ids), config.adapter.alphas_of(run.shop_ids)
    checkpoint = load_checkpoint(run.directory.server, run.info.run_id) if plan.federated else None

    def seen_by(shop_id: str) -> EndModel:
        return AtAlpha(end_model, alphas[shop_id]) if shop_id in alphas else end_model

    for place, shop_id in enumerate(run.shop_ids):
        shop = corpus.shop(shop_id)
        state, _ = end_state(run, shop, of_rank(fresh, ranks.get(shop_id)))
        adapters: dict[AttackTarget, tuple[AdapterState | None, EndModel]] = {
            "base": (None, end_model),
            "device": (state.adapter, seen_by(shop_id)),
        }
        other = run.shop_ids[(place + 1) % len(run.shop_ids)]
        if checkpoint is not None and other != shop_id:
            sent = plan.aggregator.downlink(checkpoint[0].state.aggregator, other)
            its_own = of_rank(fresh, ranks.get(other))
            if sent:
                adapters["other_shop"] = received(its_own, sent, config.adapter.shared_rank), seen_by(other)
        yield Victim(shop, corpus.truth(shop_id), state, adapters)


def _pairs_to_tell(victim: Victim) -> tuple[list[Pair], list[bool]]:
    """Pairs that the shop learned from, and streamed ones of which it learned nothing; no text in both.

    A pair whose question came back from the cloud is left out: it was learned with another answer. So are planted ones.
    """
    learned, labelled = set(victim.state.natural_ids), {label.pair_id for label in victim.state.pseudo_labels}
    pairs = [pair for pair in (*victim.shop.history, *victim.shop.stream) if not _canary(victim, pair)]
    members = [pair for pair in pairs if pair.pair_id in learned]
    said = {(pair.query, pair.reply) for pair in members}
    others = [
        pair
        for pair in victim.shop.stream
        if pair.pair_id not in learned and pair.pair_id not in labelled and (pair.query, pair.reply) not in said
    ]
    return [*members, *others], [True] * len(members) + [False] * len(others)


def _canary(victim: Victim, pair: Pair) -> Canary | None:
    truth = victim.truth.get(pair.pair_id)
    return None if truth is None else truth.canary


def _likelihoods(model: EndModel, adapter: AdapterState | None, examples: Sequence[Example]) -> list[Likelihood]:
    found: list[Likelihood] = []
    for start in range(0, len(examples), _AT_ONCE):
        found += model.likelihood([LikelihoodRequest(adapter, tuple(examples[start : start + _AT_ONCE]))])[0]
    return found


def _membership(
    target: AttackTarget,
    pairs: Sequence[Pair],
    members: Sequence[bool],
    found: Sequence[Likelihood],
    base: Sequence[Likelihood],
) -> Iterator[AttackRow]:
    nats, tokens = [each.nll_nats for each in found], [each.label_tokens for each in found]
    losses, ratios = loss_score(nats, tokens), ratio_score(nats, [each.nll_nats for each in base], tokens)
    for pair, member, loss, ratio in zip(pairs, members, losses.tolist(), ratios.tolist(), strict=True):
        yield AttackRow("membership_loss", target, pair.shop_id, pair.pair_id, pair.session_id, loss, member)
        yield AttackRow("membership_ratio", target, pair.shop_id, pair.pair_id, pair.session_id, ratio, member)


def _planted(victim: Victim) -> list[tuple[Pair, Canary]]:
    """Of every secret the first pair that holds it."""
    found: dict[str, tuple[Pair, Canary]] = {}
    for pair in victim.shop.history:
        canary = _canary(victim, pair)
        if canary is not None:
            found.setdefault(canary.secret, (pair, canary))
    return list(found.values())


def _exposure(
    target: AttackTarget,
    victim: Victim,
    adapter: AdapterState | None,
    model: EndModel,
    candidates: int,
    seed: int,
) -> Iterator[AttackRow]:
    for pair, canary in _planted(victim):
        rng = Random(derive_seed(seed, "candidates", pair.pair_id))
        others: set[str] = set()
        while len(others) < candidates - 1:
            others.add(draw_secret(rng))
            others.discard(canary.secret)
        texts = [_with(pair, canary, secret) for secret in (canary.secret, *sorted(others))]
        nats = [each.nll_nats for each in _likelihoods(model, adapter, texts)]
        bits = exposure_bits(nats[0], nats[1:])
        kind = f"{canary.repeats}x in the {canary.said_in}"
        most = math.log2(candidates)
        yield AttackRow("exposure", target, pair.shop_id, pair.pair_id, pair.session_id, bits, kind=kind, most=most)


def _with(pair: Pair, canary: Canary, secret: str) -> Example:
    """The planted text with another secret, as something that the model says.

    What a customer said is no reply: its beginning stands as the question, and the model goes on with the secret.
    """
    if canary.said_in == "reply":
        return Example(pair.prompt, pair.reply.replace(canary.secret, secret))
    before, _, after = pair.query.partition(canary.secret)
    return Example((Turn("customer", before),), f"{secret}{after}")


def _extraction(
    target: AttackTarget, victim: Victim, adapter: AdapterState | None, model: EndModel
) -> Iterator[AttackRow]:
    """Asks what customers of the shop had asked, word for word, and looks for what only the agent's reply said."""
    wanted = [(pair, kind, value) for pair in _learned(victim) for kind, value in _only_told(victim, pair)]
    planted = [(pair, canary) for pair, canary in _planted(victim) if canary.said_in == "reply"]
    wanted += [(pair, f"secret said {canary.repeats}x", canary.secret) for pair, canary in planted]
    prompts = tuple(dict.fromkeys(pair.prompt for pair, _, _ in wanted))
    if not prompts:
        return
    replies = dict(zip(prompts, model.reply([ReplyRequest(adapter, prompts, _GREEDY, 0)])[0], strict=True))
    for pair, kind, value in wanted:
        said = float(value in replies[pair.prompt])
        yield AttackRow("extraction", target, pair.shop_id, pair.pair_id, pair.session_id, said, kind=kind)


def _learned(victim: Victim) -> list[Pair]:
    natural = set(victim.state.natural_ids)
    return [pair for pair in (*victim.shop.history, *victim.shop.stream) if pair.pair_id in natural]


def _only_told(victim: Victim, pair: Pair) -> list[tuple[str, str]]:
    """Private values, by kind, that the reply says and nothing before it."""
    truth = victim.truth.get(pair.pair_id)
    values = () if truth is None else truth.private_values
    return [(each.kind, each.value) for each in values if each.said_in == ("reply",)]
