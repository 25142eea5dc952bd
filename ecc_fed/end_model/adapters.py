"""LoRA adapters: settings, a seeded start, and peft's own files.

LoRA (Hu et al. 2021, Eq. 3): h = W x + (lora_alpha / rank) B A x, with A (rank, d_in) and
B (d_out, rank). B starts at zero, so that a fresh adapter changes nothing.

| symbol | argument | range | source |
|---|---|---|---|
| r | `rank` | >= 1 | 8 in the paper |
| alpha | `lora_alpha` | > 0 | 32 in the paper |
| p | `lora_dropout` | [0, 1) | 0.1 in the paper |
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.numpy import save_file
from safetensors.torch import load_file

from ecc_fed.core.errors import ConfigError, ModelError
from ecc_fed.core.records import AdapterState
from ecc_fed.core.seeding import derive_rng

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """What an adapter looks like. `target_modules` is "all-linear" or module names such as "q_proj"."""

    rank: int = 8
    lora_alpha: float = 32.0
    lora_dropout: float = 0.1
    target_modules: str | tuple[str, ...] = "all-linear"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"rank={self.rank} is out of range; a LoRA rank is at least 1")
        if not self.lora_alpha > 0:
            raise ConfigError(f"lora_alpha={self.lora_alpha} is out of range; it must be above 0")
        if not 0 <= self.lora_dropout < 1:
            raise ConfigError(f"lora_dropout={self.lora_dropout} is out of range; it must be in [0, 1)")
        if isinstance(self.target_modules, str) and self.target_modules != "all-linear":
            raise ConfigError(
                f"target_modules={self.target_modules!r} is neither all-linear nor a list such as [q_proj, v_proj]"
            )
        if not self.target_modules:
            raise ConfigError("target_modules is empty; name at least one module, or take all-linear")

    @classmethod
    def of(cls, rank: int, lora_alpha: float, lora_dropout: float, target_modules: str | Sequence[str]) -> LoraSettings:
        """Settings from a config's plain values."""
        names = target_modules if isinstance(target_modules, str) else tuple(target_modules)
        return cls(rank, float(lora_alpha), lora_dropout, names)

    @property
    def scale(self) -> float:
        """lora_alpha / rank."""
        return self.lora_alpha / self.rank

    def peft_config(self) -> LoraConfig:
        """The same in peft's words."""
        modules = self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.lora_alpha,  # type: ignore[arg-type]  # peft takes any number.
            lora_dropout=self.lora_dropout,
            target_modules=modules,
            bias="none",
            task_type="CAUSAL_LM",
        )


def fresh_adapter(shapes: Mapping[str, tuple[int, ...]], seed: int) -> AdapterState:
    """A new adapter: A uniform in +-1/sqrt(d_in) as peft draws it (kaiming, a = sqrt 5), B zero.

    Every tensor draws from its own stream of `seed`, so torch's global generator plays no part.
    """
    state = {}
    for name, shape in shapes.items():
        if ".lora_A." in name:
            bound = shape[1] ** -0.5
            state[name] = derive_rng(seed, "adapter", name).uniform(-bound, bound, shape).astype(np.float32)
        else:
            state[name] = np.zeros(shape, np.float32)
    return state


def check_adapter(state: AdapterState, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses an adapter of another shape than this engine's.

    Raises:
        ModelError: a tensor is missing, unknown, or of another shape.
    """
    for name, shape in shapes.items():
        if name not in state:
            raise ModelError(f"the adapter lacks {name}; it was made for another base or other target_modules")
        if tuple(state[name].shape) != shape:
            raise ModelError(
                f"the adapter's {name} has shape {tuple(state[name].shape)}, wanted {shape}; "
                "it was made with another rank or for another base"
            )
    unknown = [name for name in state if name not in shapes]
    if unknown:
        raise ModelError(f"the adapter's {unknown[0]} has no place in this base; check target_modules")


def save_adapter(directory: Path, state: AdapterState, settings: LoraSettings, base_path: str) -> None:
    """Writes `directory` as peft would, so that peft and vLLM open it; each file is whole or absent."""
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    config = settings.peft_config()
    # The modules by name: "all-linear" would depend on the reader's own idea of it.
    config.target_modules = sorted({name.split(".lora_")[0].rsplit(".", 1)[-1] for name in state})
    config.base_model_name_or_path = base_path
    config.inference_mode = True
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        save_file(
            {name: np.ascontiguousarray(array, np.float32) for name, array in state.items()},
            aside / WEIGHTS_FILE,
            metadata={"format": "pt"},
        )
        config.save_pretrained(str(aside))
        if directory.exists():
            for name in (WEIGHTS_FILE, CONFIG_FILE):
                (aside / name).replace(directory / name)
        else:
            aside.chmod(0o755)
            aside.rename(directory)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def load_adapter(directory: Path) -> tuple[AdapterState, LoraSettings]:
    """Reads an adapter folder in peft's format.

    Raises:
        ModelError: files are missing or broken, or it is not a plain LoRA adapter.
    """
    directory = Path(directory)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (directory / name).is_file():
            raise ModelError(f"{directory} has no {name}; give a folder that holds an adapter saved by peft")
    try:
        config = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
        # Through torch, since numpy has no bf16.
        state = {name: tensor.float().numpy() for name, tensor in load_file(directory / WEIGHTS_FILE).items()}
    except (ValueError, SafetensorError) as error:
        raise ModelError(f"the adapter in {directory} is broken ({error}); save it again") from error
    plain = config.get("peft_type") == "LORA" and not (config.get("use_dora") or config.get("use_rslora"))
    if not plain or config.get("bias", "none") != "none" or config.get("rank_pattern") or config.get("alpha_pattern"):
        raise ModelError(f"the adapter in {directory} is no plain LoRA (one rank, no bias, no DoRA or rsLoRA)")
    modules = config["target_modules"]
    return state, LoraSettings.of(config["r"], config["lora_alpha"], config["lora_dropout"], modules)
