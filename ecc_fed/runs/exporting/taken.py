"""An adapter of a finished run: what a shop answered with at the end, or the server's last aggregate."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.assembly.federation import build_plan
from ecc_fed.core.aggregation import low_rank_pairs, ranks
from ecc_fed.core.errors import UserError
from ecc_fed.core.records import AdapterState
from ecc_fed.core.rows import read_record
from ecc_fed.end_model.adapters.files import load_adapter
from ecc_fed.end_model.adapters.settings import AdapterSettings, with_alpha
from ecc_fed.evolution.shop_state import StateRecord, finished_rounds, state_folder
from ecc_fed.runs.finished_run import FinishedRun, end_state, list_shops, trained_corpus

SERVER = "server"
_NOTHING = "nothing to export"


@dataclass(frozen=True, slots=True)
class Taken:
    """One adapter, and what it came of.

    Attributes:
        shop_id: whose; None for the server's.
        adapter: its tensors.
        settings: its method and sizes, at its own scale.
        natural_pairs: of the agents' own replies, how many the shop had learned from by the end of the run; of all
            shops, where the adapter is all shops'.
        pseudo_labels: the same of the cloud's replies.
        from_others: whether other shops' adapters, examples or replies are behind it too.
    """

    shop_id: str | None
    adapter: AdapterState
    settings: AdapterSettings
    natural_pairs: int
    pseudo_labels: int
    from_others: bool


def check_shop(run: FinishedRun, shop_id: str) -> None:
    """Passes for a shop of the run, and for `SERVER`.

    Raises:
        UserError: there is no such shop; names the nearest, or those that there are.
    """
    if shop_id == SERVER or shop_id in run.shop_ids:
        return
    near = difflib.get_close_matches(shop_id, [*run.shop_ids, SERVER], n=1)
    hint = f"Did you mean {near[0]}?" if near else f"The shops of {run.directory.root}: {list_shops(run)}."
    raise UserError(f"There is no shop {shop_id}. {hint}")


def take(run: FinishedRun, shop_id: str) -> Taken:
    """The adapter of a shop of the run, or of the server; a shop that is called `SERVER` comes first.

    Raises:
        UserError: no such shop, an arm or a shop that trained nothing, or a server without a whole adapter.
        EccError: corpus or states cannot be read.
    """
    check_shop(run, shop_id)
    if shop_id not in run.shop_ids:
        return _of_server(run)
    _, corpus = trained_corpus(run, [shop_id], _NOTHING)
    _, adapter = end_state(run, corpus.shop(shop_id), {})
    if adapter is None:
        raise UserError(
            f"{shop_id} finished no round of this run and answered with the bare base: there is {_NOTHING}."
        )
    plan = build_plan(run.config)
    settings = with_alpha(run.config.adapter.settings(), run.config.adapter.alphas_of(run.shop_ids).get(shop_id))
    counts = _examples(run, run.shop_ids if plan.pools else [shop_id])
    met = plan.pools or plan.asks(1) or run.directory.aggregate.is_dir()
    others = met and len(run.shop_ids) > 1
    return Taken(shop_id, adapter, settings, *counts, from_others=others)


def _of_server(run: FinishedRun) -> Taken:
    plan, folder = build_plan(run.config), run.directory.aggregate
    instead = f"Take a shop's: {list_shops(run)}."
    if not plan.arm.trains:
        raise UserError(f"The arm {run.info.arm} trains no adapter: there is {_NOTHING}.")
    if not folder.is_dir():
        raise UserError(f"The server of {run.directory.root} has no adapter (arm {run.info.arm}). {instead}")
    adapter, settings = load_adapter(folder)
    paired = {name for pair in low_rank_pairs(adapter) for name in pair}
    if lone := next((name for name in ranks(adapter) if name not in paired), None):
        kept = "B" if ".lora_A." in lone else "A"
        raise UserError(f"The server of {run.directory.root} has half an adapter: every shop has its {kept}. {instead}")
    return Taken(None, adapter, settings, *_examples(run, run.shop_ids), from_others=True)


def _examples(run: FinishedRun, shop_ids: Sequence[str]) -> tuple[int, int]:
    """Natural pairs and pseudo-labels of these shops together, as their last states tell."""
    natural = pseudo = 0
    for shop_id in shop_ids:
        folder = run.directory.shop(shop_id)
        if rounds := finished_rounds(folder):
            state = read_record(state_folder(folder, rounds[-1]) / "state.json", StateRecord)
            natural, pseudo = natural + len(state.natural_ids), pseudo + len(state.pseudo_labels)
    return natural, pseudo
