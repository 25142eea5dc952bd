"""How texts are split before bytes are merged, and the names that llama.cpp has for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecc_fed.models.gguf.writing.refusing import inexpressible

# As the tokenizers of these models say it themselves.
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PATTERNS = {_WORDS + r"\p{N}" + _REST: "qwen2", _WORDS + r"\p{N}{1,3}" + _REST: "llama-bpe"}
# A piece of the vocabulary is taken whole, whether merges lead to it or not, by the files of this rule.
_WHOLE_PIECES = "llama-bpe"


def split_rule(spec: Mapping[str, Any], path: str) -> str:
    """llama.cpp's name for how a byte-level tokenizer splits texts.

    llama.cpp normalizes no text. NFC, which Qwen's tokenizers ask for, is let pass all the same: it changes letters
    alone that are written as a letter and an accent behind it, and all of Qwen's files leave it out.

    Args:
        spec: the tokenizer, as the library tokenizers writes it.
        path: the model's; for messages.

    Raises:
        ModelError: llama.cpp has no name for it, of those that are read back exactly.
    """
    rule, normalizer = _rule(spec["pre_tokenizer"]), spec["normalizer"]
    if rule is None:
        raise inexpressible(path, "its tokenizer splits texts by a rule for which llama.cpp has no name here")
    if normalizer is not None and (rule, normalizer["type"]) != ("qwen2", "NFC"):
        raise inexpressible(path, f"its tokenizer normalizes texts ({normalizer['type']}), and llama.cpp does not")
    if bool(spec["model"]["ignore_merges"]) != (rule == _WHOLE_PIECES):
        raise inexpressible(path, f"its ignore_merges is not that of the rule {rule}")
    return rule


def _rule(splitter: Mapping[str, Any] | None) -> str | None:
    steps = [] if splitter is None else splitter.get("pretokenizers", [splitter])
    kinds = [step["type"] for step in steps]
    if not steps or kinds[-1] != "ByteLevel" or steps[-1]["add_prefix_space"]:
        return None
    if steps[-1]["use_regex"]:
        digits = len(steps) == 2 and kinds[0] == "Digits" and steps[0]["individual_digits"]
        return "gpt-2" if len(steps) == 1 else "smollm" if digits else None
    if kinds != ["Split", "ByteLevel"] or steps[0]["behavior"] != "Isolated" or steps[0]["invert"]:
        return None
    return _PATTERNS.get(steps[0]["pattern"].get("Regex", ""))
