"""The trials of a search in Optuna's own storage, one SQLite file: what was proposed, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ecc_fed.core.errors import UserError
from ecc_fed.core.seeding import derive_seed
from ecc_fed.runs.tuning.space import Choice, Parameter, Whole

Direction = Literal["maximize", "minimize"]
STORAGE = "tune.sqlite"
_STUDY = "tune"


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: from 0.
        values: of the searched settings, by key.
        result: the metric; None of one that failed or is not at its end.
        running: it is not at its end.
    """

    number: int
    values: Mapping[str, Any]
    result: float | None
    running: bool

    @property
    def name(self) -> str:
        """Of its run's folder."""
        return f"trial_{self.number:03d}"


def require_optuna() -> Any:
    """The module.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError('ecc-fed tune searches by Optuna, which is not installed: pip install "ecc_fed[tune]"') from (
            error
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Trials:
    """Asks and tells. What is proposed depends on the seed, the trial's number and the trials before it alone.

    So a search that was stopped goes on as if it never had been: no state of a sampler is needed.
    """

    def __init__(self, study: Any, space: Sequence[Parameter], direction: Direction, seed: int) -> None:
        self._optuna = require_optuna()
        self._study, self._direction, self._seed = study, direction, seed
        self._distributions = {parameter.key: _distribution(self._optuna, parameter) for parameter in space}

    def all(self) -> list[Trial]:
        """Every trial, by number."""
        states = self._optuna.trial.TrialState
        return [
            Trial(
                each.number,
                each.params,
                each.value if each.state == states.COMPLETE else None,
                each.state == states.RUNNING,
            )
            for each in self._study.get_trials(deepcopy=False)
        ]

    def ask(self) -> Trial:
        """The trial that was stopped, or a new one.

        A new one is kept whole or not at all: it is drawn beside the storage first.
        """
        known = self.all()
        stopped = next((trial for trial in known if trial.running), None)
        if stopped is not None:
            return stopped
        optuna, number = self._optuna, len(known)
        seed = derive_seed(self._seed, "tune", str(number)) % 2**32
        beside = optuna.create_study(direction=self._direction, sampler=optuna.samplers.TPESampler(seed=seed))
        beside.add_trials(self._study.get_trials())
        params = beside.ask(self._distributions).params
        running = optuna.trial.TrialState.RUNNING
        self._study.add_trial(optuna.create_trial(state=running, params=params, distributions=self._distributions))
        return Trial(number, params, None, True)

    def tell(self, trial: Trial, result: float | None) -> None:
        """What came of it; None: it failed."""
        if result is None:
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial.number, result)


@contextmanager
def open_trials(out: Path, space: Sequence[Parameter], direction: Direction, seed: int) -> Iterator[Trials]:
    """The trials of the search in `out`; none in a new one.

    Raises:
        UserError: Optuna is not installed.
    """
    optuna = require_optuna()
    storage = optuna.storages.RDBStorage(f"sqlite:///{(out / STORAGE).absolute()}")
    try:
        study = optuna.create_study(study_name=_STUDY, storage=storage, direction=direction, load_if_exists=True)
        yield Trials(study, space, direction, seed)
    finally:
        storage.remove_session()


def _distribution(optuna: Any, parameter: Parameter) -> Any:
    kinds = optuna.distributions
    if isinstance(parameter, Choice):
        return kinds.CategoricalDistribution(parameter.values)
    kind = kinds.IntDistribution if isinstance(parameter, Whole) else kinds.FloatDistribution
    return kind(parameter.low, parameter.high, step=parameter.step, log=parameter.log)
