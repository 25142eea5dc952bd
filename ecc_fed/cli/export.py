"""`ecc-fed export`: an adapter of a finished run, as a folder that other programs load."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

from ecc_fed.assembly.paths import paths_alone
from ecc_fed.cli.arguments import CommandParser, split_run
from ecc_fed.cli.console import TextConsole
from ecc_fed.core.errors import UserError
from ecc_fed.models.gguf.writing.architecture import Outtype
from ecc_fed.runs.export import export
from ecc_fed.runs.exporting.card import Form
from ecc_fed.runs.finished_run import list_shops, open_run

_HELP = """[bold]ecc-fed export RUN --shop ID --to peft|merged|gguf[/] \\[--out DIR]   an adapter for other programs

  RUN              the folder of a finished run whose shops trained
  --shop ID        the adapter that this shop answered with at the end; server: the server's last aggregate
  --to peft        adapter_model.safetensors and adapter_config.json, as peft has them
  --to merged      the base with the adapter merged in, a plain transformers folder in fp32, tokenizer included;
                   Of LoRA and its kin, on bases not quantized
  --to gguf        the same as one file for llama.cpp, tokenizer and chat template included; of bases of the families
                   llama, qwen2, qwen3 and gemma3_text. Run it: llama-server -m FILE
  --outtype TYPE   how that file stores matrices: f16 (the default), bf16, or f32, twice as large and exact
  --out DIR        a new folder; by default RUN/exports/ID/FORM
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
    parser.add_argument("--outtype")
    found, rest = parser.read(arguments)
    root, moved = split_run(rest, "ecc-fed export RUN --shop ID --to peft")
    paths_alone(moved)
    form = _form(found.to)
    outtype = _outtype(found.outtype, form)
    run = open_run(root, moved, found.allow)
    if found.shop is None:
        raise UserError(f"Say whose adapter: --shop server, or one of {list_shops(run)}.")
    folder = export(run, found.shop, form, found.out, outtype)
    console = TextConsole()
    console.print(f"Exported: {folder}", markup=False, highlight=False, soft_wrap=True)
    console.print("An adapter remembers dialogues: give it to nobody who may not read them.", highlight=False)
    return 0


def _form(to: str | None) -> Form:
    if to not in get_args(Form):
        given = "Say in which form" if to is None else f"--to {to} is unknown"
        raise UserError(
            f"{given}: --to peft (the adapter alone), --to merged (a plain transformers folder) or --to gguf (a "
            "file for llama.cpp)."
        )
    return cast(Form, to)


def _outtype(given: str | None, form: Form) -> Outtype:
    if given is None:
        return "f16"
    if form != "gguf":
        raise UserError(f"--outtype is for --to gguf, and this is --to {form}: leave it out.")
    if given not in get_args(Outtype):
        raise UserError(f"--outtype {given} is unknown: {', '.join(get_args(Outtype))}.")
    return cast(Outtype, given)
