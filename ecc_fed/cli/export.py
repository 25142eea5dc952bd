"""`ecc-fed export`: an adapter of a finished run, as a folder that other programs load."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

from ecc_fed.assembly.paths import paths_alone
from ecc_fed.cli.arguments import CommandParser, split_run
from ecc_fed.cli.console import TextConsole
from ecc_fed.core.errors import UserError
from ecc_fed.runs.export import export
from ecc_fed.runs.exporting.card import Form
from ecc_fed.runs.finished_run import list_shops, open_run

_HELP = """[bold]ecc-fed export RUN --shop ID --to peft|merged[/] \\[--out DIR]   an adapter for other programs

  RUN              the folder of a finished run whose shops trained
  --shop ID        the adapter that this shop answered with at the end; server: the server's last aggregate
  --to peft        adapter_model.safetensors and adapter_config.json, as peft has them
  --to merged      the base with the adapter merged in, a plain transformers folder in fp32, tokenizer included;
                   llama.cpp's convert_hf_to_gguf.py makes GGUF of it. Of LoRA and its kin, on bases not quantized
  --out DIR        a new folder; by default RUN/exports/ID/peft or merged
  --allow PACKAGE  its config may name classes of this package
  corpus.path=FILE and other settings named path: where a file of the run lies now

Beside the files lies a model card, README.md: base, settings, what it learned from, its final figures, what it is not
for. An adapter remembers dialogues: give it to nobody who may not read them. The base's path in adapter_config.json is
its hub id, or relative to DIR where it lies in a folder.
"""


def main(arguments: list[str]) -> int:
    """Exports; returns the exit code."""
    parser = CommandParser(_HELP)
    parser.add_argument("--shop")
    parser.add_argument("--to")
    parser.add_argument("--out", type=Path)
    found, rest = parser.read(arguments)
    root, moved = split_run(rest, "ecc-fed export RUN --shop ID --to peft")
    paths_alone(moved)
    form = _form(found.to)
    run = open_run(root, moved, found.allow)
    if found.shop is None:
        raise UserError(f"Say whose adapter: --shop server, or one of {list_shops(run)}.")
    folder = export(run, found.shop, form, found.out)
    console = TextConsole()
    console.print(f"Exported: {folder}", markup=False, highlight=False, soft_wrap=True)
    console.print("An adapter remembers dialogues: give it to nobody who may not read them.", highlight=False)
    return 0


def _form(to: str | None) -> Form:
    if to == "gguf":
        raise UserError(
            "--to gguf is not made here: export with --to merged, then convert that folder by llama.cpp's "
            "convert_hf_to_gguf.py."
        )
    if to not in get_args(Form):
        given = "Say in which form" if to is None else f"--to {to} is unknown"
        raise UserError(f"{given}: --to peft (the adapter alone) or --to merged (a plain transformers folder).")
    return cast(Form, to)
