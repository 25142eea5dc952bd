"""A base with an adapter merged in as one GGUF file, which llama.cpp runs without Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from ecc_fed.end_model.base import Base
from ecc_fed.end_model.text.prompting import PLAIN_TEMPLATE, VARIABLES, turn_of
from ecc_fed.models.folder import find_folder
from ecc_fed.models.gguf.writing.architecture import Architecture, Outtype, architecture_of
from ecc_fed.models.gguf.writing.file import Place, places, require_package, require_room, write_file
from ecc_fed.models.gguf.writing.refusing import inexpressible
from ecc_fed.models.gguf.writing.vocabulary import Vocabulary, vocabulary_of
from ecc_fed.models.opening import quiet, refusing

_ROLE = "end model"
_END_NAMES = ("eot", "eom")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the file of a base says, whatever its weights; `path` is the base's."""

    path: str
    architecture: Architecture
    vocabulary: Vocabulary
    template: str
    tensors: list[Place]
    outtype: Outtype


def plan_file(path: str, outtype: Outtype, folder: Path) -> Plan:
    """Looks at a base's config and tokenizer, and refuses what a file cannot say, before any weight is read.

    Args:
        path: the base's: a folder, a GGUF file or a hub id.
        outtype: how matrices are stored.
        folder: where the file will be; it or one above it is there.

    Raises:
        ModelError: the base cannot be opened or cannot be said in a GGUF file; names the reason and the remedy.
        OSError: there is no room for the file.
    """
    require_package(path)
    causal: Any = AutoModelForCausalLM
    where = find_folder(path, _ROLE)
    with refusing(_ROLE, where, "cannot be read", "export it with --to peft"), quiet():
        config = AutoConfig.from_pretrained(where, local_files_only=True, trust_remote_code=False)
        tokenizer: Any = AutoTokenizer.from_pretrained(where, local_files_only=True, trust_remote_code=False)
        architecture = architecture_of(config, path)
        with torch.device("meta"):
            empty = causal.from_config(config)
        vocabulary = vocabulary_of(tokenizer, empty.get_input_embeddings().weight.shape[0], path)
        turn = turn_of(tokenizer)
    shapes = {name: tuple(weight.shape) for name, weight in empty.named_parameters()}
    if turn.end_sequence:
        raise inexpressible(path, f"its chats' turns end with {turn.closing!r}, which is no token")
    tensors = places(shapes, architecture, outtype, path)
    require_room(folder, tensors)
    return Plan(path, architecture, vocabulary, _template(tokenizer), tensors, outtype)


def write(plan: Plan, merged: Base, title: str, file: Path) -> None:
    """Writes a base with what was merged into it.

    Args:
        plan: the base's.
        merged: as `merging.merge` has it.
        title: what the file calls the model.
        file: where to.

    Raises:
        ModelError: a weight that the file's type cannot hold.
        OSError: the file cannot be written.
    """
    shapes = {name: tuple(weight.shape) for name, weight in merged.model.named_parameters()}
    if shapes != {place.source: place.shape for place in plan.tensors}:
        raise inexpressible(plan.path, "merged, it has other weights than its config says", "export it with --to peft")
    ids = plan.vocabulary.ids
    vocabulary = replace(plan.vocabulary, ids={**ids, **_ends(merged, ids["eos"], plan.path)})
    write_file(file, title, merged.model, plan.architecture, vocabulary, plan.template, plan.tensors, plan.path)


def _ends(merged: Base, eos: int, path: str) -> Mapping[str, int]:
    """Tokens beside eos by which a reply is over, by their names in the file."""
    others = sorted(merged.end_ids - {eos})
    if len(others) > len(_END_NAMES):
        raise inexpressible(path, f"its replies end by {len(others) + 1} tokens, and a file names 3")
    return dict(zip(_END_NAMES, others, strict=False))


def _template(tokenizer: Any) -> str:
    """That of the tokenizer, with what chats were rendered with; of one without, the plain format's."""
    if not tokenizer.chat_template:
        return PLAIN_TEMPLATE
    template = str(tokenizer.get_chat_template())
    settings = [f"{{% set {name} = {str(value).lower()} %}}" for name, value in VARIABLES.items() if name in template]
    if tokenizer.bos_token is None and "bos_token" in template:
        # Where a file names none, llama.cpp takes a token of its own choice.
        settings.append("{% set bos_token = '' %}")
    return "".join([*settings, template])
