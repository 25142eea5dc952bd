"""What the adapters of a finished run tell of the dialogues behind them: membership, planted secrets, private values.

Whoever attacks holds an adapter, and knows the base. Whose adapter it is, is the target: nobody's (the bare base, the
control), the shop's own (what the server sees of it in arms that upload, or a thief of the device), or the one that the
server last sent another shop. What is true of the pairs is for the attacks alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ecc_fed.assembly.build import build_end_model
from ecc_fed.core.records import Example, Likelihood
from ecc_fed.core.rows import AttackRow, write_rows
from ecc_fed.runs.attacking.exposure import exposure_rows
from ecc_fed.runs.attacking.extraction import cross_shop_rows, extraction_rows
from ecc_fed.runs.attacking.membership import membership_rows
from ecc_fed.runs.attacking.reconstruction import reconstruction_rows
from ecc_fed.runs.attacking.shadows import train_shadows
from ecc_fed.runs.attacking.victims import likelihoods, victims
from ecc_fed.runs.finished_run import FinishedRun, trained_corpus

# 13 bits.
CANDIDATES = 8192
OnStep = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class AttackCost:
    """What an attack took beside the adapters themselves: shadow adapters, and the seconds to train them."""

    shadows: int
    shadow_seconds: float


def attack(
    run: FinishedRun, candidates: int = CANDIDATES, on_step: OnStep = lambda done, of: None, shadows: int = 0
) -> AttackCost:
    """Attacks every shop of the run, and writes `attacks/rows.jsonl` into it.

    Args:
        run: a finished run whose shops trained.
        candidates: among which a planted secret is ranked, itself included.
        on_step: told after every adapter, with the number of all.
        shadows: so many adapters that never saw a shop are trained for LiRA; 0 makes none of it.

    Raises:
        UserError: as `trained_corpus`.
        EccError: corpus, model or states cannot be read.
    """
    config, corpus = trained_corpus(run, run.shop_ids, "nothing to attack")
    found = list(victims(run, config, corpus))
    end_model = build_end_model(config)
    trained = train_shadows(found, config, end_model, shadows)
    of, done, rows = sum(len(victim.adapters) for victim in found), 0, list[AttackRow]()
    for victim in found:
        base: Sequence[Likelihood] | None = None
        known, members = victim.pairs_to_tell()
        out = trained.logits(end_model, victim.shop.shop_id, known) if known else None
        for target, (adapter, model) in victim.adapters.items():
            each = likelihoods(model, adapter, [Example(pair.prompt, pair.reply) for pair in known])
            base = each if base is None else base
            rows += membership_rows(target, known, members, each, base, out)
            rows += exposure_rows(target, victim, adapter, model, candidates, config.seed)
            rows += extraction_rows(target, victim, adapter, model)
            rows += reconstruction_rows(target, victim, adapter, model, config.seed)
            rows += cross_shop_rows(target, victim, adapter, model, config.decoding, config.seed)
            done += 1
            on_step(done, of)
    write_rows(run.directory.attacks / "rows.jsonl", rows)
    return AttackCost(len(trained.shadows), trained.seconds)
