"""A finished run's adapter as a folder that other programs load: peft's own, transformers', or with a GGUF file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from ecc_fed.assembly.build import base_path
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.paths import check_there
from ecc_fed.core.errors import UserError
from ecc_fed.core.outside_text import cut, visible
from ecc_fed.core.whole_folder import new_folder
from ecc_fed.end_model.adapters.files import save_adapter
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.models.folder import local_folder
from ecc_fed.models.gguf.writing.architecture import Outtype
from ecc_fed.runs.exporting.card import Form, model_card
from ecc_fed.runs.exporting.taken import SERVER, Taken, check_shop, take
from ecc_fed.runs.finished_run import FinishedRun

if TYPE_CHECKING:
    from ecc_fed.end_model.gguf_file import Plan

_CARD = "README.md"
_EXPORTS = "exports"


def export(run: FinishedRun, shop_id: str, form: Form, out: Path | None = None, outtype: Outtype = "f16") -> Path:
    """Writes the adapter of a shop, as it answered at the end of the run, into a new folder; all of it or nothing.

    Args:
        run: whose shops trained.
        shop_id: a shop, or "server" for the server's last aggregate.
        form: peft: adapter_model.safetensors with adapter_config.json. merged: the base with the adapter in its
            weights, fp32, with its tokenizer. gguf: the same as one file, for llama.cpp. All have a model card,
            README.md.
        out: the folder; by default one below `exports` in the run's.
        outtype: how a GGUF file stores matrices.

    Returns:
        The folder.

    Raises:
        UserError: no such shop, nothing trained, a base that is gone, what cannot be merged, or a folder that is taken
            or cannot be written.
        ModelError: a base that a GGUF file cannot hold.
        EccError: corpus, base or states cannot be read.
    """
    check_shop(run, shop_id)
    final = out or run.directory.root / _EXPORTS / run.directory.shop(shop_id).name / form
    # Without links: a relative path leads elsewhere from a link than from what it points to.
    final = Path(os.path.realpath(final.expanduser()))
    _refuse_taken(final)
    if form != "peft" and build_plan(run.config).arm.trains:
        _check_mergeable(run)
    check_there(run.config, ("end_model",), run.directory.root)
    folder = local_folder(base_path(run.config), "end model")
    base = run.config.end_model.path if folder is None else os.path.relpath(folder.resolve(), final)
    taken = take(run, shop_id)
    try:
        plan = _plan(run, final, outtype) if form == "gguf" else None
        with new_folder(final) as aside:
            if form == "peft":
                save_adapter(aside, taken.adapter, taken.settings, base)
            else:
                _save_merged(run, taken, aside, plan)
            card = model_card(run, taken, form, base, hub=folder is None, file=_file(outtype))
            (aside / _CARD).write_text(card, encoding="utf-8")
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(
            f"{final} cannot be written ({reason}), and nothing was left there. Free some space or make its folder "
            "writable, or give another with --out DIR."
        ) from error
    return final


def _refuse_taken(final: Path) -> None:
    try:
        nearest = next(path for path in (final, *final.parents) if path.exists())
        taken = nearest == final and nearest.is_dir() and any(final.iterdir())
    except OSError as error:
        raise UserError(f"{final} cannot be read ({error.strerror}). Give another folder with --out DIR.") from error
    if not nearest.is_dir():
        raise UserError(f"{nearest} is a file. Give another folder with --out DIR.")
    if taken:
        raise UserError(f"{final} is there and not empty. Remove it, or give another folder with --out DIR.")


def _check_mergeable(run: FinishedRun) -> None:
    """By the config alone, before anything is loaded."""
    method, quantization = run.config.adapter.method, run.config.end_model.quantization
    if not isinstance(run.config.adapter.settings(), Lora):
        raise UserError(
            f"A {method} adapter cannot be merged: it puts keys and values before those of every layer and changes no "
            "weight. Export it with --to peft."
        )
    if quantization in ("int8", "nf4"):
        raise UserError(
            f"The base of this run is {quantization}: an adapter trained beside rounded weights cannot be merged into "
            "them without rounding it too. Export it with --to peft."
        )


def _file(outtype: Outtype) -> str:
    return f"model-{outtype}.gguf"


def _plan(run: FinishedRun, final: Path, outtype: Outtype) -> Plan:
    from ecc_fed.end_model.gguf_file import plan_file  # with torch and transformers

    return plan_file(base_path(run.config), outtype, final)


def _save_merged(run: FinishedRun, taken: Taken, aside: Path, plan: Plan | None) -> None:
    """As the plan of a GGUF file says; without one, as transformers does."""
    from ecc_fed.end_model.gguf_file import write  # with torch and peft
    from ecc_fed.end_model.merging import merge, save_merged

    beside, path = aside / "adapter", base_path(run.config)
    save_adapter(beside, taken.adapter, taken.settings, path)
    merged = merge(path, run.config.end_model.quantization, beside)
    shutil.rmtree(beside)
    if plan is None:
        save_merged(merged, aside)
    else:
        shop = cut(visible(taken.shop_id or SERVER), 200)
        write(plan, merged, f"{shop} of a run of ecc_fed", aside / _file(plan.outtype))
