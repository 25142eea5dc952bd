"""A study's runs, attacked: each once, and what came of it by arm and defence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.rows import AttackRow, AttackTarget, read_rows
from ecc_fed.core.shipped import choice_name
from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.attacks import AttackFigure, attack_figures
from ecc_fed.reporting.counts import TRAFFIC_KEYS, traffic
from ecc_fed.reporting.study import Group, settings_text
from ecc_fed.reporting.sweep import is_of_the_server
from ecc_fed.runs.attack import attack
from ecc_fed.runs.finished_run import open_run
from experiments.privacy.cloud import Heard, heard

WORTH = ("final_score", "fact_accuracy", "platform_fact_accuracy", "perplexity")
UNDEFENDED = "as it is"
_WORDS_UP = TRAFFIC_KEYS["cloud_teacher", "up"]


@dataclass(frozen=True)
class Costs:
    """Means over a group's runs: seconds; bytes of adapters to and from the server, and of words to the cloud while
    serving; None where nothing went. `epsilon`: the largest that a run spent."""

    seconds: float
    adapters_up: float | None = None
    adapters_down: float | None = None
    words_up: float | None = None
    epsilon: float | None = None


@dataclass(frozen=True)
class Attacked:
    """One arm under one defence: what attacks got of its adapters, what replies were worth, and what the cloud was
    told; seeds count together."""

    method: str
    defence: str
    figures: Sequence[AttackFigure]
    worth: Mapping[str, Estimate | None]
    costs: Costs
    heard: Heard | None = None

    def figure(self, name: str, target: AttackTarget, kind: str = "") -> AttackFigure | None:
        """One attack's figure, where it was made."""
        return next((one for one in self.figures if (one.attack, one.target, one.kind) == (name, target, kind)), None)


def defence_of(config: RunConfig) -> str:
    """What the shops did about it, by the settings that say so."""
    told = [
        ("redaction", choice_name(str(config.redaction["_target_"]))),
        ("mask_training", "true" if config.privacy.mask_training else "none"),
        ("epsilon", "none" if config.privacy.epsilon is None else f"{config.privacy.epsilon:g}"),
    ]
    return settings_text([setting for setting in told if setting[1] != "none"]) or UNDEFENDED


def method_of(group: Group) -> str:
    """The arm and the way to train and aggregate, as far as it differs from what is usual in the study."""
    told = [
        setting
        for setting in group.settings(lambda name: _is_of_the_method(name, group.aggregates))
        if setting not in group.usual and setting[1] != "null"
    ]
    return f"{group.arm} ({settings_text(told)})" if told else group.arm


def _is_of_the_method(name: str, aggregates: bool) -> bool:
    return name.split(".")[0] not in ("redaction", "privacy") and (aggregates or not is_of_the_server(name))


def attacked(group: Group, candidates: int) -> Attacked:
    """The group's rows of attacks, made where they are not there yet, its costs, and what the cloud was told."""
    rows, told = list[tuple[int, AttackRow]](), list[Heard | None]()
    for run in group.runs:
        path, finished = run.directory.attacks / "rows.jsonl", open_run(run.directory.root)
        if not path.is_file():
            attack(finished, candidates)
        rows += [(run.seed, row) for row in read_rows(path, AttackRow)]
        told.append(heard(finished))
    known = [each for each in told if each is not None]
    return Attacked(
        method_of(group),
        defence_of(open_run(group.runs[0].directory.root).config),
        attack_figures(rows),
        {name: group.final[name] for name in WORTH},
        _costs(group),
        sum(known, Heard(0, 0)) if known else None,
    )


def _costs(group: Group) -> Costs:
    seconds = [run.info.runtime.wall_seconds for run in group.runs]
    spent = [run.info.privacy.epsilon for run in group.runs if run.info.privacy.epsilon is not None]
    return Costs(
        sum(seconds) / len(seconds),
        _adapters(group, "bytes_up"),
        _adapters(group, "bytes_down"),
        _mean([float(traffic(run)[_WORDS_UP] or 0) for run in group.runs]),
        max(spent, default=None),
    )


def _adapters(group: Group, key: str) -> float | None:
    """Bytes of a run's adapters, by a column of `AggregationRow`."""
    rounds = [[getattr(row, key) for row in run.info.aggregation] for run in group.runs]
    return _mean([float(sum(row)) for row in rounds if row and None not in row])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
