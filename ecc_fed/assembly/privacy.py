"""From a `RunConfig` to what its training may tell: a budget of differential privacy, and what does not go with one."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_fed.assembly.federation import build_arm
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.assembly.targets import accepts, check_arguments, locate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import Answering, Redactor, TeachesByReplies
from ecc_fed.core.records import Shop
from ecc_fed.evolution.private_training import PrivateTraining
from ecc_fed.federation.plan import pools
from ecc_fed.privacy.redaction import NoRedaction


def build_private_training(config: RunConfig) -> PrivateTraining | None:
    """The budget of every shop; None where training is plain, or there is none.

    Raises:
        ConfigError: shops whose replies show their own examples, or that pool their dialogues: no noise helps there;
            or that train on others' replies, which no budget counts.
    """
    privacy, arm = config.privacy, build_arm(config)
    if privacy.epsilon is None or not arm.trains:
        return None
    answering = locate(config.answering, "answering", Answering)
    if getattr(answering, "shows_examples", False):
        raise ConfigError(
            f"privacy.epsilon={privacy.epsilon:g} bounds what a model tells of its records, and answering="
            f"{answering.__name__} shows the shop's own examples in replies or prompts. Take answering=model, or "
            "privacy=none."
        )
    if pools(arm):
        raise ConfigError(
            f"privacy.epsilon={privacy.epsilon:g} is each shop's own budget, and in arm {arm.name} all dialogues lie "
            "on one device. Take another arm, or privacy=none."
        )
    if isinstance(arm, TeachesByReplies) and arm.public_share > 0:
        raise ConfigError(
            f"privacy.epsilon={privacy.epsilon:g} counts draws of a shop's own records alone, and in arm {arm.name} it "
            "trains on agreed replies beside them. Take another arm, or privacy=none."
        )
    evolution, steps = config.evolution, config.finetune.steps
    warm = evolution.warm_start.steps if evolution.warm_start.path is not None else 0
    planned = evolution.server_rounds * evolution.cycles * steps + warm
    return PrivateTraining(privacy.epsilon, privacy, planned)


def check_text_masks(config: RunConfig) -> None:
    """Refuses masks that nobody would set.

    Raises:
        ConfigError: a run without redaction, or one that does not say its name.
    """
    if config.privacy.mask_training and locate(config.redaction, "redaction", Redactor).name == NoRedaction.name:
        raise ConfigError(
            "privacy.mask_training=true masks what the run's redaction finds, and redaction=none finds nothing. Take "
            "redaction=order_record or redaction=patterns."
        )


def check_redaction(config: RunConfig) -> None:
    """Refuses a redaction that could not be made, before anything starts: a package or a model that is not there.

    Raises:
        ConfigError: a setting that it does not take, or that is out of range, or a package that is not installed.
        ModelError: a model that cannot be taken.
    """
    node = config.redaction
    redactor = locate(node, "redaction", Redactor)
    settings = {name: value for name, value in node.items() if name != "_target_"}
    language = {"language": config.gateway.language} if accepts(node, "redaction", "language") else {}
    check_arguments(redactor, {**language, **settings}, str(node["_target_"]), "redaction")
    check = getattr(redactor, "check_settings", None)
    if check is not None:
        check(**settings)


def check_budgets(private: PrivateTraining | None, config: RunConfig, shops: Sequence[Shop]) -> None:
    """Refuses what the shops of a host could not keep, before anything is trained.

    Raises:
        ConfigError: as `PrivateTraining.next_steps`, for the first training; as `check_delta`, for the largest.
    """
    if private is None:
        return
    for shop in shops:
        private.check_delta(len(shop.history) + len(shop.stream))
    for size in sorted({len(shop.history) for shop in shops if shop.history}):
        private.next_steps((), size, config.finetune)
