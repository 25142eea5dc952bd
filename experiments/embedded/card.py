"""Writing a model folder whole: into a folder aside, with a card, then renamed into place."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def table(figures: Mapping[str, float | int | str]) -> str:
    """A two-column Markdown table."""
    lines = ["| measure | value |", "|---|---|"]
    for name, value in figures.items():
        lines.append(f"| {name} | {value:.3f} |" if isinstance(value, float) else f"| {name} | {value} |")
    return "\n".join(lines)


def stage_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Path:
    """Saves weights (fp16) and tokenizer beside `folder`; returns the folder aside."""
    aside = folder.with_name(folder.name + ".partial")
    if aside.exists():
        shutil.rmtree(aside)
    model.cpu().half().save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    return aside


def publish(aside: Path, folder: Path, title: str, sections: Mapping[str, str]) -> None:
    """Adds the card with the hash of the weights, then puts the folder in its place."""
    weights = aside / "model.safetensors"
    weights.chmod(0o644)  # safetensors writes for the owner alone
    body = "\n\n".join(f"## {heading}\n{text}" for heading, text in sections.items())
    hash_line = f"`model.safetensors`: {weights.stat().st_size} bytes, sha256 `{sha256(weights)}`"
    (aside / "CARD.md").write_text(f"# {title}\n\n{body}\n\n## Weights\n{hash_line}\n", encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside.rename(folder)
