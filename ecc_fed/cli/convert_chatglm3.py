"""`ecc-fed convert-chatglm3`: an original ChatGLM3 checkpoint becomes transformers' own Glm."""

from __future__ import annotations

from pathlib import Path

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ecc_fed.cli.arguments import CommandParser
from ecc_fed.cli.console import TextConsole
from ecc_fed.core.errors import UserError
from ecc_fed.end_model.chatglm3 import convert_chatglm3

_HELP = """[bold]ecc-fed convert-chatglm3 SRC DST[/] \\[--dtype float16|bfloat16|float32]

  SRC   the original checkpoint: safetensors or .bin (sharded or not), config.json, tokenizer.model
  DST   a new folder for GlmForCausalLM and a fast tokenizer; then: ecc-fed run end_model=chatglm3_6b end_model.path=DST

Shard by shard, in under 4 GB of memory. Anything unexpected in SRC is refused by name before a byte is written.
Needs the extra: pip install 'ecc-fed\\[chatglm3]'
"""


def main(arguments: list[str]) -> int:
    """Converts; returns the exit code."""
    parser = CommandParser(_HELP, allow=False)
    parser.add_argument("--dtype")
    found, rest = parser.read(arguments)
    if len(rest) != 2:
        raise UserError("Give two folders: ecc-fed convert-chatglm3 SRC DST")
    columns = (TextColumn("{task.description:<10}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=TextConsole(stderr=True)) as progress:
        tasks = {}

        def on_progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done, total=total)

        converted = convert_chatglm3(Path(rest[0]), Path(rest[1]), on_progress, found.dtype)
    console = TextConsole()
    console.print(
        f"{converted.destination}: {converted.tensors} tensors, {converted.parameters:,} parameters in "
        f"{converted.dtype}, {converted.weight_bytes:,} bytes, from {converted.source_tensors} tensors.",
        markup=False,
        highlight=False,
    )
    if converted.tokenizer_differences:
        console.print(
            f"The fast tokenizer differs from the original on {converted.tokenizer_differences} of "
            f"{converted.tokenizer_probes} probes.",
            style="yellow",
            highlight=False,
        )
    console.print(
        f"Next: ecc-fed run end_model=chatglm3_6b end_model.path={converted.destination}", markup=False, highlight=False
    )
    return 0
