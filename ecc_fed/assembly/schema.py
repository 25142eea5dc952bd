"""What a run is made of: one frozen record for each group of settings, from the room that uses it.

Hydra composes their nodes (`assembly.nodes`), which hold names and types; the records check ranges
when they are made. Groups with a `_target_` (arm, corpus, partition, teacher, the two models of the judge,
feedback, redaction, strategy, update) are classes named in YAML; `build` checks them against the target's
signature, so that a user's own class needs no edit here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require
from ecc_fed.core.records import Decoding, FineTuneSettings
from ecc_fed.end_model.adapters.settings import AdapterSettings, adapter_settings
from ecc_fed.evolution.review.lesson import Lesson
from ecc_fed.evolution.settings import EvolutionSettings
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.judging.final_score import Thresholds
from ecc_fed.teacher.gateway.settings import GatewaySettings


@dataclass(frozen=True)
class EndModelConfig:
    """The frozen base of every shop."""

    # "embedded", a Hugging Face hub id, or a local folder.
    path: str = "embedded"
    # none | bf16 | int8 | nf4
    quantization: str = "none"
    # auto | cpu | cuda
    device: str = "auto"
    max_prompt_tokens: int = 256
    max_reply_tokens: int = 512

    def __post_init__(self) -> None:
        require(
            self.quantization in ("none", "bf16", "int8", "nf4"),
            "end_model.quantization",
            self.quantization,
            "one of none, bf16, int8, nf4",
        )
        require(self.device in ("auto", "cpu", "cuda"), "end_model.device", self.device, "one of auto, cpu, cuda")
        require(self.max_prompt_tokens >= 8, "end_model.max_prompt_tokens", self.max_prompt_tokens, "8 or more")
        require(self.max_reply_tokens >= 2, "end_model.max_reply_tokens", self.max_reply_tokens, "2 or more")


@dataclass(frozen=True)
class AdapterConfig:
    """The shop's own part; null is the method's default, and the only value where a method has no such setting."""

    # lora | rslora | dora | prefix_tuning | p_tuning_v2
    method: str = "lora"
    rank: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    # "all-linear", or names of linear layers such as [q_proj, k_proj, v_proj]. A prefix has no use for it.
    target_modules: Any = "all-linear"
    num_virtual_tokens: int | None = None
    encoder_hidden_size: int | None = None

    def __post_init__(self) -> None:
        self.settings()

    def settings(self) -> AdapterSettings:
        """What the end model's engines take.

        Raises:
            ConfigError: an unknown method, a value out of range, or one that the method does not have.
        """
        return adapter_settings(**asdict(self))


@dataclass(frozen=True, kw_only=True)
class JudgeSettings(Thresholds):
    """Eq. (1): its two models, with the thresholds that belong to them."""

    similarity: Mapping[str, Any]
    relevance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RuntimeSettings(HostSettings):
    """Where and how the work runs."""

    # peft: one job after another, the reference; shared: all shops of a host in one batch.
    engine: Literal["peft", "shared"] = "shared"

    def __post_init__(self) -> None:
        HostSettings.__post_init__(self)
        require(self.engine in ("peft", "shared"), "runtime.engine", self.engine, "one of peft, shared")


@dataclass(frozen=True)
class StudyConfig:
    """What `ecc-fed study` runs: every variant of every arm at every seed."""

    arms: tuple[str, ...] = ("none", "local", "aggregated", "personalized")
    seeds: tuple[int, ...] = (0,)
    # name -> overrides, such as {no_platform_facts: ["corpus.platform_share=0"]}; none is the study as it stands.
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # A `core.protocols.StudyView` by _target_, which writes pages of its own; null: the report alone.
    view: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        require(bool(self.arms), "study.arms", self.arms, "at least one arm")
        require(bool(self.seeds), "study.seeds", self.seeds, "at least one seed")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole run."""

    seed: int = 0
    arm: Mapping[str, Any]
    corpus: Mapping[str, Any]
    partition: Mapping[str, Any]
    end_model: EndModelConfig
    adapter: AdapterConfig
    finetune: FineTuneSettings
    decoding: Decoding
    teacher: Mapping[str, Any]
    gateway: GatewaySettings
    redaction: Mapping[str, Any]
    judge: JudgeSettings
    feedback: Mapping[str, Any]
    evolution: EvolutionSettings
    strategy: Mapping[str, Any]
    # Update transforms by name, in the order in which they work.
    update: Mapping[str, Any] = field(default_factory=dict)
    runtime: RuntimeSettings
    study: StudyConfig
    chat: Lesson

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        if self.end_model.device == "cuda" and self.runtime.gpus_per_host == 0:
            raise ConfigError("end_model.device=cuda needs hosts with a GPU. Set runtime=rtx3090.")
