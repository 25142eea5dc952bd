"""Which class has which method's settings: the one place where a config's name for a method becomes a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol, TypeVar

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.ranges import require
from ecc_fed.core.records import AdapterState
from ecc_fed.end_model.adapters.low_rank import Dora, Lora, RsLora
from ecc_fed.end_model.adapters.prefix import PrefixTuning, PTuningV2

Number = TypeVar("Number", int, float)


class AdapterSettings(Protocol):
    """What engines and files need to know of an adapter method: frozen, and checked when made."""

    @property
    def method(self) -> str:
        """Its name in a config."""
        ...

    def scale_at(self, rank: int) -> float:
        """What B A of an adapter of `rank` is multiplied by; 1 where there is none."""
        ...

    @property
    def pairs_alone(self) -> bool:
        """Whether the adapter is low-rank pairs A and B and nothing else."""
        ...

    @property
    def virtual_tokens(self) -> int:
        """Positions that it takes before every text."""
        ...

    def peft_words(self) -> dict[str, Any]:
        """The settings in peft's words; all else is left to peft."""
        ...

    def stored_words(self, state: AdapterState) -> dict[str, Any]:
        """What peft's config file holds beside this adapter, the base's path apart."""
        ...

    def stored_tensors(self, state: AdapterState) -> dict[str, AdapterState]:
        """The tensors of every file that keeps this adapter."""
        ...


@dataclass(frozen=True, slots=True)
class AdapterChoice:
    """A method by name, with its settings: the group `adapter` of a run.

    null is the method's default, and the only value where a method has no such setting. The base
    names its modules, so a prefix, which has no use for `target_modules`, does not mind them.

    Raises:
        ConfigError: an unknown method, a value out of range, or one that the method does not have.
    """

    # lora | rslora | dora | prefix_tuning | p_tuning_v2
    method: str = "lora"
    rank: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    # "all-linear", or names of linear layers such as [q_proj, k_proj, v_proj].
    target_modules: str | tuple[str, ...] = "all-linear"
    num_virtual_tokens: int | None = None
    encoder_hidden_size: int | None = None
    # The shops' own ranks, none above `rank`, dealt in turn to the shops in the order of their names: [2, 8] gives
    # every second shop 2. Empty: all have `rank`.
    ranks: tuple[int, ...] = ()
    # The shops' own lora_alpha, dealt in turn to the shops in the order of their names; the scale of a shop's adapter
    # comes of its own lora_alpha and rank. Empty: all have `lora_alpha`.
    lora_alphas: tuple[float, ...] = ()
    # Two adapters side by side in one: of every pair the first so many ranks are what the shops share, the others are a
    # shop's own and never leave it. null: all are shared.
    shared_rank: int | None = None

    def __post_init__(self) -> None:
        settings = self.settings()
        if self.ranks and not settings.pairs_alone:
            raise ConfigError(
                f"adapter.ranks: a {self.method} adapter has one rank for all shops. Take lora or rslora."
            )
        most = int(getattr(settings, "rank", 0))
        require(
            all(1 <= rank <= most for rank in self.ranks),
            "adapter.ranks",
            list(self.ranks),
            f"1 up to adapter.rank={most}",
        )
        if self.lora_alphas and not settings.pairs_alone:
            raise ConfigError(
                f"adapter.lora_alphas: a {self.method} adapter has one scale for all shops. Take lora or rslora."
            )
        positive = all(alpha > 0 for alpha in self.lora_alphas)
        require(positive, "adapter.lora_alphas", list(self.lora_alphas), "each above 0")
        if self.shared_rank is not None:
            self._check_shared(self.shared_rank, settings.pairs_alone, most)

    def _check_shared(self, shared_rank: int, pairs_alone: bool, most: int) -> None:
        if not pairs_alone:
            raise ConfigError(f"adapter.shared_rank: a {self.method} adapter is no sum of ranks. Take lora or rslora.")
        if self.ranks:
            raise ConfigError("adapter.shared_rank and adapter.ranks do not go together: leave one of them out.")
        require(1 <= shared_rank <= most, "adapter.shared_rank", shared_rank, f"1 up to adapter.rank={most}")

    def settings(self) -> AdapterSettings:
        """What engines and files take."""
        return adapter_settings(**{name: value for name, value in asdict(self).items() if name not in _OF_SHOPS})

    def exchanged_scale(self, rank: int) -> float:
        """The s of what a shop sends, in an adapter of `rank`: that of the whole adapter, where only a part leaves."""
        settings = self.settings()
        return settings.scale_at(rank if self.shared_rank is None else int(getattr(settings, "rank", rank)))

    def ranks_of(self, shop_ids: Sequence[str]) -> dict[str, int]:
        """The rank of each of a run's shops, by shop; empty where all have `rank`."""
        return dealt(self.ranks, shop_ids)

    def alphas_of(self, shop_ids: Sequence[str]) -> dict[str, float]:
        """The lora_alpha of each of a run's shops, by shop; empty where all have `lora_alpha`."""
        return dealt(self.lora_alphas, shop_ids)

    @property
    def scale_factors(self) -> tuple[float, ...]:
        """By what the scale of a shop's adapter is multiplied, dealt as `lora_alphas` are."""
        usual = float(getattr(self.settings(), "lora_alpha", 1.0))
        return tuple(alpha / usual for alpha in self.lora_alphas)


def dealt(values: Sequence[Number], shop_ids: Sequence[str]) -> dict[str, Number]:
    """One of the values to each shop, in turn and by their names' order, which server and devices both know."""
    return {shop_id: values[place % len(values)] for place, shop_id in enumerate(sorted(shop_ids)) if values}


def with_alpha(settings: AdapterSettings, lora_alpha: float | None) -> AdapterSettings:
    """The settings at another lora_alpha; as they are for None, and for a method that has none."""
    if lora_alpha is None or not isinstance(settings, Lora):
        return settings
    return replace(settings, lora_alpha=lora_alpha)


# Of a choice, what is no setting of its method.
_OF_SHOPS = ("ranks", "lora_alphas", "shared_rank")
_CLASSES: tuple[Any, ...] = (Lora, RsLora, Dora, PrefixTuning, PTuningV2)
METHODS: dict[str, Any] = {kind.method: kind for kind in _CLASSES}


def adapter_settings(
    method: str = "lora", target_modules: str | Sequence[str] = "all-linear", **values: Any
) -> AdapterSettings:
    """The settings of `method`; None is the method's default.

    `target_modules` belongs to the base, so a prefix, which has no use for it, does not mind it.

    Raises:
        ConfigError: an unknown method, a value out of range, or one that the method does not have.
    """
    if method not in METHODS:
        raise ConfigError(f"adapter.method={method} is unknown: take one of {', '.join(METHODS)}")
    kind = METHODS[method]
    names = [each.name for each in fields(kind)]
    given = {name: value for name, value in values.items() if value is not None}
    for name, value in given.items():
        if name not in names:
            own = ", ".join(each for each in names if each != "target_modules")
            raise ConfigError(
                f"adapter.{name}={value} is no setting of {method}, which has {own}: "
                f"leave it out, or take another adapter"
            )
    if "target_modules" in names:
        given["target_modules"] = target_modules
    settings: AdapterSettings = kind(**given)
    return settings
