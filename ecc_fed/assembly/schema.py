"""What a run is made of: one frozen record for each group of settings, from the room that uses it.

Hydra composes their nodes (`assembly.nodes`), which hold names and types; the records check ranges
when they are made. Groups with a `_target_` (arm, answering, corpus, partition, teacher, the two models of the judge,
feedback, redaction, strategy, tracker, update) are classes named in YAML; `build` checks them against the target's
signature, so that a user's own class needs no edit here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ecc_fed.core.completion import Language
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require, require_one_of
from ecc_fed.core.records import Decoding, FineTuneSettings
from ecc_fed.end_model.adapters.settings import AdapterChoice
from ecc_fed.end_model.settings import EndModelSettings
from ecc_fed.evolution.review.lesson import Lesson
from ecc_fed.evolution.settings import EvolutionSettings
from ecc_fed.federation.limits import ReplySettings
from ecc_fed.federation.participation import ParticipationSettings
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.judging.final_score import Thresholds
from ecc_fed.privacy.record_level import PrivacySettings
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings
from ecc_fed.teacher.gateway.settings import GatewaySettings
from ecc_fed.teacher.wording import LANGUAGES, Text, Wording


@dataclass(frozen=True, kw_only=True)
class JudgeSettings(Thresholds):
    """Eq. (1): its two models, with the thresholds that belong to them, and what they can read."""

    similarity: Mapping[str, Any]
    relevance: Mapping[str, Any]
    # Of the dialogues that the two can score, such as [zh]; null: any.
    languages: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PromptSettings(Wording):
    """Our own words around dialogues: on their way to the cloud, and before the end model."""

    # Said to the end model before every dialogue, served and learned; null: nothing.
    system: Text | None = None

    def __post_init__(self) -> None:
        Wording.__post_init__(self)
        for language in LANGUAGES:
            self.system_text(language)

    def system_text(self, language: Language) -> str | None:
        """What the end model is told in one language; None: nothing."""
        return self.words("system", language) or None


Engine = Literal["peft", "shared"]


@dataclass(frozen=True, slots=True)
class RuntimeSettings(HostSettings):
    """Where and how the work runs."""

    # peft: one job after another, the reference; shared: all shops of a host in one batch.
    engine: Engine = "shared"

    def __post_init__(self) -> None:
        HostSettings.__post_init__(self)
        require_one_of("runtime.engine", self.engine, get_args(Engine))


@dataclass(frozen=True)
class StudySettings:
    """What `ecc-fed study` runs: every variant of every arm at every seed; arms that aggregate, by every method."""

    arms: tuple[str, ...] = ("none", "local", "aggregated", "personalized")
    seeds: tuple[int, ...] = (0,)
    # name -> overrides, such as {no_platform_facts: ["corpus.platform_share=0"]}; none is the study as it stands.
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # name -> overrides, such as {flora: ["strategy=flora"]}: a run for each of every arm in which adapters travel.
    methods: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
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
    # How a shop answers: by its model, its own examples, or both.
    answering: Mapping[str, Any]
    corpus: Mapping[str, Any]
    partition: Mapping[str, Any]
    end_model: EndModelSettings
    adapter: AdapterChoice
    finetune: FineTuneSettings
    decoding: Decoding
    teacher: Mapping[str, Any]
    gateway: GatewaySettings
    prompt: PromptSettings = field(default_factory=PromptSettings)
    redaction: Mapping[str, Any]
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    judge: JudgeSettings
    feedback: Mapping[str, Any]
    evolution: EvolutionSettings
    strategy: Mapping[str, Any]
    # Update transforms by name, in the order in which they work.
    update: Mapping[str, Any] = field(default_factory=dict)
    replies: ReplySettings = field(default_factory=ReplySettings)
    participation: ParticipationSettings = field(default_factory=ParticipationSettings)
    secure_aggregation: SecureAggregationSettings = field(default_factory=SecureAggregationSettings)
    runtime: RuntimeSettings
    # A `core.protocols.Tracker` by _target_; empty: none.
    tracker: Mapping[str, Any] = field(default_factory=dict)
    study: StudySettings
    chat: Lesson

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        if self.end_model.device == "cuda" and self.runtime.gpus_per_host == 0:
            raise ConfigError("end_model.device=cuda needs hosts with a GPU. Set runtime=rtx3090.")
