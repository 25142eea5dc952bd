"""What is searched, in Hydra's own syntax of sweeps.

| given | searched |
|---|---|
| `KEY=a,b` or `KEY=choice(a,b)` | one of them |
| `KEY=range(10,50,10)` | 10, 20, 30, 40: the end is left out, as Hydra does |
| `KEY=interval(0.1,0.9)` | any number, both ends included |
| `KEY=tag(int,interval(1,8))` | any whole number, both ends included |
| `KEY=tag(log,interval(1e-4,1e-2))` | any number, its logarithm drawn evenly; `tag(int,log,…)` of whole numbers |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from ecc_fed.assembly.overrides import choice_texts, readable, unreadable
from ecc_fed.core.errors import ConfigError

_TAGS = {"int", "log"}
# More digits than a range's steps are told with, fewer than a double has: 0.1 + 0.2 is written as 0.3.
_STEP_DIGITS = 12


@dataclass(frozen=True)
class Choice:
    """One of several values, each as an override spells it."""

    key: str
    values: tuple[str, ...]

    def ends(self) -> tuple[str, ...]:
        """Every value: none bounds the others."""
        return self.values

    def text(self, value: object) -> str:
        """A value as an override spells it."""
        return str(value)


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`, both included."""

    key: str
    low: int
    high: int
    step: int = 1
    log: bool = False

    def ends(self) -> tuple[str, ...]:
        """The least and the greatest."""
        return str(self.low), str(self.high)

    def text(self, value: object) -> str:
        """As `Choice.text`."""
        return str(value)


@dataclass(frozen=True)
class Real:
    """A number from `low` to `high`, both included; with a step, those that it reaches."""

    key: str
    low: float
    high: float
    step: float | None = None
    log: bool = False

    def ends(self) -> tuple[str, ...]:
        """As `Whole.ends`."""
        return self.text(self.low), self.text(self.high)

    def text(self, value: object) -> str:
        """As `Choice.text`."""
        number = float(str(value))
        return repr(number if self.step is None else round(number, _STEP_DIGITS))


Parameter = Choice | Whole | Real


def parse_space(overrides: Sequence[str]) -> tuple[list[str], tuple[Parameter, ...]]:
    """(overrides that hold for every trial, what is searched).

    Raises:
        ConfigError: an override that cannot be read, a sweep that cannot be searched, or nothing to search.
    """
    fixed, searched = [], []
    for text in map(readable, overrides):
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise unreadable(text) from error
        if override.is_sweep_override():
            searched.append(_parameter(override, text))
        else:
            fixed.append(text)
    keys = [parameter.key for parameter in searched]
    for key in keys:
        if key == "seed":
            raise ConfigError("seed is drawn by nobody: a search over it finds luck. Give one seed.")
        if keys.count(key) > 1:
            raise ConfigError(f"{key} is searched twice. Give it once.")
    if not searched:
        raise ConfigError(
            "Nothing is searched. Give at least one setting a range, such as "
            "'finetune.learning_rate=tag(log,interval(1e-4,1e-2))'."
        )
    return fixed, tuple(searched)


def _parameter(override: Override, text: str) -> Parameter:
    key, sweep = override.get_key_element(), override.value()
    if getattr(sweep, "shuffle", False):
        raise ConfigError(f"{text}: the search has an order of its own. Leave shuffle out.")
    if not isinstance(sweep, ChoiceSweep | RangeSweep | IntervalSweep):
        raise ConfigError(f"{text} cannot be searched. Give choice(…), range(…) or interval(…).")
    unknown = sorted(set(sweep.tags) - _TAGS)
    if unknown:
        raise ConfigError(f"{text}: there is no tag {unknown[0]} here. Tags: {', '.join(sorted(_TAGS))}.")
    log = "log" in sweep.tags
    if isinstance(sweep, ChoiceSweep):
        values = tuple(choice_texts(override))
        if sweep.tags or len(set(values)) < len(values):
            raise ConfigError(f"{text}: a choice has no tags, and names each value once.")
        return Choice(key, values)
    found = _whole_or_real(key, sweep, log, text)
    if found.low > found.high or (log and found.low <= 0):
        raise ConfigError(f"{text}: give the lower end first{', above 0 for log' if log else ''}.")
    return found


def _whole_or_real(key: str, sweep: RangeSweep | IntervalSweep, log: bool, text: str) -> Whole | Real:
    if isinstance(sweep, IntervalSweep):
        low, high = sweep.start, sweep.end
        assert low is not None and high is not None, "Hydra reads none without its ends"
        if "int" in sweep.tags or (isinstance(low, int) and isinstance(high, int)):
            if int(low) != low or int(high) != high:
                raise ConfigError(f"{text}: the ends of whole numbers are whole numbers.")
            return Whole(key, int(low), int(high), log=log)
        return Real(key, float(low), float(high), log=log)
    numbers = sorted(sweep.range())
    if not numbers:
        raise ConfigError(f"{text} is empty.")
    step = abs(sweep.step)
    if all(isinstance(number, int) for number in numbers):
        if log and step != 1:
            raise ConfigError(f"{text}: with log a range of whole numbers has the step 1.")
        return Whole(key, int(numbers[0]), int(numbers[-1]), int(step), log)
    if log:
        raise ConfigError(f"{text}: steps are not even in the logarithm. Give tag(log,interval(…)).")
    low, high = (round(float(number), _STEP_DIGITS) for number in (numbers[0], numbers[-1]))
    return Real(key, low, high, float(step))


def chosen(space: Iterable[Parameter], values: Mapping[str, object]) -> list[str]:
    """The overrides of one trial, in the space's order."""
    return [f"{parameter.key}={parameter.text(values[parameter.key])}" for parameter in space]


def corners(space: Sequence[Parameter]) -> Iterator[list[str]]:
    """Overrides that reach every end of every setting, the others at their first."""
    first = [f"{parameter.key}={parameter.ends()[0]}" for parameter in space]
    for place, parameter in enumerate(space):
        for end in parameter.ends():
            yield [*first[:place], f"{parameter.key}={end}", *first[place + 1 :]]
