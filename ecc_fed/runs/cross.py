"""Every shop's device on every shop's test queries: what of its learning holds elsewhere, and what is its own alone.

A question of the simulation, after the run: no shop's adapter ever goes to another shop by it, and the cloud is not
asked. What is true of the queries stays on the side that measures.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence

from sacrebleu.metrics.chrf import CHRF

from ecc_fed import __version__
from ecc_fed.assembly.build import build_answering, build_end_model, build_settings
from ecc_fed.core.errors import UserError
from ecc_fed.core.folder_lock import sole_writer
from ecc_fed.core.protocols import Answering, EndModel
from ecc_fed.core.records import AdapterState, Asked, Decoding, Shop
from ecc_fed.core.rows import CrossRow, read_rows, write_rows
from ecc_fed.core.run_directory import read_text
from ecc_fed.core.seeding import adapter_seed, derive_seed
from ecc_fed.core.truth import Truth
from ecc_fed.end_model.adapters.tensors import of_rank
from ecc_fed.evolution.answering.replies import reply_to
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.own_alpha import AtAlpha
from ecc_fed.evolution.sample_rows import sample_row, taught_by
from ecc_fed.evolution.shop_round import experience_of
from ecc_fed.evolution.stream import natural_pairs
from ecc_fed.runs.finished_run import FinishedRun, end_state, list_shops, trained_corpus

# So many devices on so many shops' queries take minutes on a CPU; more only if they are named.
MOST_SHOPS = 20
OnPair = Callable[[int, int], None]
_UNFINISHED = "unfinished"


def cross_evaluate(run: FinishedRun, wanted: Sequence[str] = (), on_pair: OnPair = lambda done, of: None) -> int:
    """Writes `cross/rows.jsonl` into the run: each of the shops as it was at the end, asked each one's test queries.

    A shop's replies to its own queries are those of the run's final evaluation. What was asked before a stop is not
    asked again: every adapter's rows are kept in `cross/unfinished` until all are there.

    Args:
        run: a finished run whose shops trained.
        wanted: its shops to take; none: all of them.
        on_pair: told after every pair of shops, with the number of all.

    Returns:
        The number of rows.

    Raises:
        UserError: no such shop, too many, an arm that trains nothing, or another is at work on this.
        EccError: corpus, model or states cannot be read.
    """
    shop_ids = _chosen(run, wanted)
    config, corpus = trained_corpus(run, shop_ids, "nothing to try on other shops")
    shops = [corpus.shop(shop_id) for shop_id in shop_ids]
    end_model, answering, settings = build_end_model(config), build_answering(config), build_settings(config)
    fresh = end_model.new_adapter(adapter_seed(config.seed))
    ranks, alphas = config.adapter.ranks_of(run.shop_ids), config.adapter.alphas_of(run.shop_ids)
    truths = {shop_id: corpus.truth(shop_id) for shop_id in shop_ids}

    def line(number: int, shop: Shop) -> list[CrossRow]:
        state, adapter = end_state(run, shop, of_rank(fresh, ranks.get(shop.shop_id)))
        experience, alpha = experience_of(shop, state), alphas.get(shop.shop_id)
        own_model = end_model if alpha is None else AtAlpha(end_model, alpha)
        rows: list[CrossRow] = []
        for place, asked in enumerate(shops):
            seed = derive_seed(config.seed, "evaluate", asked.shop_id)
            training = natural_pairs(asked, config.evolution.human_share, config.seed)
            taught = taught_by(training, truths[asked.shop_id])
            replies = _replies(asked, adapter, experience, answering, settings.decoding, own_model, seed)
            chrf = CHRF()
            rows += [
                CrossRow(
                    shop.shop_id,
                    sample_row(
                        pair,
                        truths[asked.shop_id].get(pair.pair_id, Truth()),
                        "final",
                        state.server_round,
                        reply,
                        None,
                        taught,
                        chrf=chrf.sentence_score(reply, [pair.reply]).score,
                    ),
                )
                for pair, reply in zip(asked.test, replies, strict=True)
            ]
            on_pair(number * len(shops) + place + 1, len(shops) ** 2)
        return rows

    folder = run.directory.cross
    busy = f"{folder} is in use: `ecc-fed cross` is at work on this run. Wait for its end."
    with sole_writer(folder, busy, "make the run's folder writable"):
        kept = folder / _UNFINISHED / _question(run, shop_ids)
        rows: list[CrossRow] = []
        for number, shop in enumerate(shops):
            path = kept / f"{number:04d}.jsonl"
            if path.is_file():
                on_pair((number + 1) * len(shops), len(shops) ** 2)
            else:
                write_rows(path, line(number, shop))
            rows += read_rows(path, CrossRow, remedy=f"remove {folder / _UNFINISHED}")
        write_rows(folder / "rows.jsonl", rows)
        shutil.rmtree(folder / _UNFINISHED)
    return len(rows)


def _question(run: FinishedRun, shop_ids: Sequence[str]) -> str:
    """Of the same shops of the same run, asked by the same program, the same."""
    told = json.dumps([__version__, run.info.run_id, read_text(run.directory.config), list(shop_ids)])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _chosen(run: FinishedRun, wanted: Sequence[str]) -> list[str]:
    unknown = [shop_id for shop_id in wanted if shop_id not in run.shop_ids]
    if unknown:
        raise UserError(f"There is no shop {unknown[0]}. The shops of {run.directory.root}: {list_shops(run)}.")
    if not wanted and len(run.shop_ids) > MOST_SHOPS:
        raise UserError(
            f"{run.directory.root} has {len(run.shop_ids)} shops, which makes {len(run.shop_ids) ** 2:,} pairs. Name "
            f"those to compare: --shops {','.join(run.shop_ids[:3])}"
        )
    return [shop_id for shop_id in run.shop_ids if not wanted or shop_id in wanted]


def _replies(
    asked: Shop,
    adapter: AdapterState | None,
    experience: Experience,
    answering: Answering,
    decoding: Decoding,
    end_model: EndModel,
    seed: int,
) -> list[str]:
    """What a device with this adapter and experience replies to the shop's test queries; draws are the shop's own."""
    prepared = answering.prepare([Asked(pair.prompt, pair.pair_id) for pair in asked.test], experience.known())
    answered = reply_to(prepared, adapter, decoding, end_model, derive_seed(seed, "reply"))
    return [reply.text for reply in answered]
