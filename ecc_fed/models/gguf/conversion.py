"""From a GGUF file to a Hugging Face folder: weights in bf16, config, tokenizer and chat template.

transformers reads the file. What it would not carry over is put right here: ids of the control tokens in the config,
sizes of heads that a file names and its reader skips, how a vocabulary splits texts, and whether a blank
comes before them.
"""

from __future__ import annotations

import copy
import io
import json
import tempfile
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast

from ecc_fed.models.folder import refusal
from ecc_fed.models.gguf.families import FAMILIES
from ecc_fed.models.gguf.header import AGAIN, Header
from ecc_fed.models.opening import quiet, refusing

_NAME = "model.gguf"
# What a tokenizer remembers of where it was read, and is no part of it.
_PLACE = ("vocab_file", "merges_file", "name_or_path", "is_local", "local_files_only", "gguf_file")
_BLANK = "\u2581"  # SentencePiece's
_LLAMA_3 = ("llama-bpe", "llama3", "llama-v3")


def convert(header: Header, folder: Path, role: str) -> None:
    """Writes a file's model to an empty folder, as transformers' `save_pretrained` does.

    Args:
        header: of a file that `check_file` let pass.
        folder: where to write.
        role: what the model is for; for messages.

    Raises:
        ModelError: transformers cannot read the file, or it lacks weights.
        OSError: the folder cannot be written.
        SafetensorError: the same, of the weights.
    """
    with tempfile.TemporaryDirectory() as place:
        # By itself: other files beside it, of which transformers would take some, are of other models.
        (Path(place) / _NAME).symlink_to(header.file.resolve())
        with refusing(role, header.file, "cannot be read by transformers", AGAIN), quiet():
            tokenizer = _tokenizer(place, header)
            config = _config(place, header, tokenizer, role)
            model = _model(place, header, config, role)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _tokenizer(place: str, header: Header) -> Any:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(place, gguf_file=_NAME, local_files_only=True)
    for name in _PLACE:
        tokenizer.init_kwargs.pop(name, None)
    if header.settings["tokenizer.ggml.model"] == "gpt2":
        _split(tokenizer.backend_tokenizer, header.settings["tokenizer.ggml.pre"])
    else:
        tokenizer._tokenizer = _with_blanks(tokenizer.backend_tokenizer, header)
    return tokenizer


def _with_blanks(backend: Any, header: Header) -> Any:
    """Pieces of characters with blanks where the file wants them, and without tokens that the file does not have.

    transformers puts a blank before the first word alone, whatever the file says, and adds tokens of its own.
    """
    spec: dict[str, Any] = json.loads(backend.to_str())
    prefix = header.settings.get("tokenizer.ggml.add_space_prefix", header.architecture != "gemma3")
    here, there = ({"String": sign} for sign in (" ", _BLANK))
    steps = [{"type": "Prepend", "prepend": _BLANK}] * prefix + [
        {"type": "Replace", "pattern": here, "content": _BLANK}
    ]
    back: list[dict[str, Any]] = [{"type": "Replace", "pattern": there, "content": " "}]
    back += [{"type": "ByteFallback"}, {"type": "Fuse"}]
    back += [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] * prefix
    spec |= {"pre_tokenizer": None, "normalizer": {"type": "Sequence", "normalizers": steps} if prefix else steps[0]}
    spec["decoder"] = {"type": "Sequence", "decoders": back}
    spec["added_tokens"] = [
        token for token in spec["added_tokens"] if token["id"] < header.settings["tokenizer.ggml.tokens"]
    ]
    if spec["model"]["unk_token"] not in spec["model"]["vocab"]:
        spec["model"]["unk_token"] = None
    return Tokenizer.from_str(json.dumps(spec))


def _split(backend: Any, rule: str) -> None:
    """What the named rule asks for beside the pattern that transformers sets."""
    if rule == "qwen2":
        backend.normalizer = normalizers.NFC()
    elif rule in _LLAMA_3:
        backend.model.ignore_merges = True
    elif rule == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])


def _config(place: str, header: Header, tokenizer: Any, role: str) -> Any:
    config: Any = AutoConfig.from_pretrained(place, gguf_file=_NAME, local_files_only=True)
    wanted = FAMILIES[header.architecture].model_type
    if config.model_type != wanted:
        raise refusal(
            role, header.file, f"is read as {config.model_type} and not as {wanted}", "give its Hugging Face folder"
        )
    head = header.own("attention.key_length")
    if head is not None and hasattr(config, "head_dim"):
        config.head_dim = head
    if hasattr(config, "query_pre_attn_scalar"):  # of Gemma models whose files say no more than this
        config.query_pre_attn_scalar = config.head_dim
    # The classes' own defaults are ids of other vocabularies, and one of them would end replies.
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, getattr(tokenizer, name))
    config.dtype = torch.bfloat16
    # Where it was read, and what its maker called it.
    config._name_or_path = ""
    vars(config).pop("_model_name_or_path", None)
    return config


def _model(place: str, header: Header, config: Any, role: str) -> Any:
    """A plain model with the file's weights: the one that transformers reads refuses to be saved."""
    causal: Any = AutoModelForCausalLM
    # A release that could leave the weights in their blocks must not; older ones never do.
    packing: Any = getattr(transformers, "GgufConfig", None)
    unpacked = {} if packing is None else {"quantization_config": packing(dequantize=True)}
    with redirect_stderr(io.StringIO()):  # a progress bar that knows no switch
        read, info = causal.from_pretrained(
            place,
            gguf_file=_NAME,
            config=copy.deepcopy(config),
            dtype=torch.bfloat16,
            **unpacked,
            local_files_only=True,
            output_loading_info=True,
        )
    for kind, keys in info.items():
        if keys:
            raise refusal(role, header.file, f"lacks weights, or has others ({kind}: {min(map(str, keys))})", AGAIN)
    with torch.device("meta"):
        plain = causal.from_config(config)
    # Takes the tensors over, and no copy of them.
    plain.load_state_dict(read.state_dict(), assign=True)
    plain.tie_weights()
    ids: Any = GenerationConfig
    plain.generation_config = ids(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    return plain
