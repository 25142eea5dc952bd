"""Finds runs, groups them by arm and by what a sweep changed, and pools their queries.

Two runs belong to one group if they share the arm and every swept setting and differ in the seed.
A setting counts as swept if it differs between runs of the same arm and seed; settings that always
change together are named once.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ecc_fed.core.errors import UserError
from ecc_fed.core.failed_run import FailedRun, failures_below
from ecc_fed.core.rows import Phase, SampleRow
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate
from ecc_fed.reporting.coverage import unlike_phases
from ecc_fed.reporting.formatting import teacher_name
from ecc_fed.reporting.judge_worth import JudgeWorth, judge_worth
from ecc_fed.reporting.measures import Comparison, compare, estimate_all
from ecc_fed.reporting.run import Run, load_run
from ecc_fed.reporting.sweep import (
    bare_value,
    is_of_the_server,
    is_of_the_world,
    settings_of,
    short_names,
    shown_value,
    swept_settings,
)
from ecc_fed.reporting.units import QueryKey, drawn_text, seeded

ARM_ORDER = (
    "none", "retrieval", "base_with_examples", "local", "local_with_examples", "distilled", "aggregated",
    "personalized", "centralized", "cloud",
)  # fmt: skip
BASELINES = ("none", "retrieval", "local")
# Others' replies to the same queries, which a table shows below the arms.
OTHERS: Mapping[Phase, str] = {"teacher": "the teacher's own reply", "human": "the human agent's reply"}


def settings_text(settings: Sequence[tuple[str, str]]) -> str:
    """Such as "rank=4, platform_share=0.5"."""
    return ", ".join(f"{name}={value}" for name, value in settings)


def _told(variant: Sequence[tuple[str, str]]) -> str:
    return settings_text([setting for setting in variant if setting[1] != "null"])


@dataclass(frozen=True)
class Group:
    """The runs of one arm and one setting of the sweep, by seed.

    `variant` has short names and `names` the full ones of the same settings; `usual` are those of them that most
    groups of the study share. `drawn_by` is the variant with classes in the place of choices: random draws of the
    report have depended on it since before there were names for people.
    """

    arm: str
    variant: tuple[tuple[str, str], ...]
    runs: tuple[Run, ...]
    names: tuple[str, ...] = ()
    usual: frozenset[tuple[str, str]] = frozenset()
    drawn_by: tuple[tuple[str, str], ...] = ()

    @property
    def variant_label(self) -> str:
        """Such as "platform_share=0.5"; empty where nothing was swept, or nothing of it is set."""
        return _told(self.variant)

    def settings(self, wanted: Callable[[str], bool]) -> tuple[tuple[str, str], ...]:
        """Of the variant, the settings whose full name is wanted."""
        return tuple(setting for name, setting in zip(self.names, self.variant, strict=True) if wanted(name))

    @property
    def world(self) -> tuple[tuple[str, str], ...]:
        """Of the variant, what the shops are; groups of one world saw the same shops."""
        return self.settings(is_of_the_world)

    @property
    def method(self) -> tuple[tuple[str, str], ...]:
        """Of the variant, what was done with the shops."""
        return self.settings(lambda name: not is_of_the_world(name))

    @property
    def method_label(self) -> str:
        """The arm, with what was swept of its method, less what is usual or null, or says nothing without a server."""
        matters = self.method if self.aggregates else self.settings(_is_of_the_shops)
        told = [setting for setting in matters if setting not in self.usual and setting[1] != "null"]
        return f"{self.arm} ({settings_text(told)})" if told else self.arm

    @property
    def aggregates(self) -> bool:
        """Whether a server made one adapter of the shops' in any run."""
        return any(run.info.aggregation for run in self.runs)

    @property
    def label(self) -> str:
        """The arm, with what was swept."""
        return f"{self.arm} ({self.variant_label})" if self.variant_label else self.arm

    @property
    def key(self) -> str:
        """What the report's draws for the group start from."""
        told = _told(self.drawn_by)
        return f"{self.arm} ({told})" if told else self.arm

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the group's runs, ascending."""
        return tuple(run.seed for run in self.runs)

    @property
    def evolves(self) -> bool:
        """Whether the arm's shops learned anything."""
        return any(run.evolves for run in self.runs)

    def rows(self, phase: Phase) -> dict[QueryKey, SampleRow]:
        """The phase's rows of all seeds."""
        return {(run.seed, row.shop_id, row.pair_id): row for run in self.runs for row in run.rows(phase)}

    @cached_property
    def base(self) -> dict[str, Estimate | None]:
        """Every measure before evolution, over the queries of all seeds."""
        return estimate_all(seeded(self.rows("base")), derive_seed(0, "report", self.key, "base"))

    @cached_property
    def final(self) -> dict[str, Estimate | None]:
        """Every measure after evolution, over the queries of all seeds."""
        return estimate_all(seeded(self.rows("final")), derive_seed(0, "report", self.key, "final"))

    @cached_property
    def others(self) -> dict[Phase, dict[str, Estimate | None]]:
        """Every measure of the teacher's and the human agent's replies; nothing of those whom no run tells of."""
        found = {phase: seeded(self.rows(phase)) for phase in OTHERS}
        return {
            phase: estimate_all(rows, derive_seed(0, "report", _told(self.drawn_by), phase))
            for phase, rows in found.items()
            if rows
        }

    @cached_property
    def judge_worth(self) -> JudgeWorth:
        """What the judge is worth on the dialogues of all seeds."""
        own, human, other = (seeded(self.rows(phase)) for phase in ("final", "human", "other"))
        return judge_worth(own, human, other, derive_seed(0, "report", self.key, "judge"))

    @property
    def drawn(self) -> str:
        """What the intervals of its figures draw, such as "18 shops and 1,080 dialogues in them"."""
        return drawn_text(seeded(self.rows("final") or self.rows("base")))

    def gain(self) -> Comparison:
        """Final minus base over the same queries."""
        return compare(self.rows("final"), self.rows("base"), derive_seed(0, "report", self.key, "gain"))

    def against(self, other: "Group") -> Comparison:
        """This group's final minus the other's over the same queries."""
        seed = derive_seed(0, "report", self.key, "against", other.key)
        return compare(self.rows("final"), other.rows("final"), seed)


@dataclass(frozen=True)
class Study:
    """Groups in the order of the report, notes on what was left out and why, and the runs that failed."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]
    failed: tuple[FailedRun, ...] = ()

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs of all groups."""
        return tuple(run for group in self.groups for run in group.runs)

    @property
    def simulated_cloud(self) -> bool:
        """Whether nothing but the simulated teacher answered for the cloud."""
        return {run.info.teacher for run in self.runs} == {"RetrievalTeacher"}

    @property
    def cloud_name(self) -> str:
        """What answered for the cloud; the simulated teacher is called so."""
        known = dict.fromkeys(teacher_name(run.info.teacher) for run in self.runs)
        return "Simulated teacher" if self.simulated_cloud else f"Cloud ({', '.join(known)})"

    @property
    def variants(self) -> list["Study"]:
        """The study cut by what was swept: the arms of one part saw the same world."""
        labels = list(dict.fromkeys(group.variant for group in self.groups))
        return [Study(tuple(group for group in self.groups if group.variant == label), ()) for label in labels]

    def baseline(self, name: str, group: Group) -> Group | None:
        """The named arm's group under the same settings; or its only group, where the arm was not swept.

        An arm that never aggregates is the same under all settings of the server, so that one group of it stands
        against every method; so does the only group of the arm in the same world, whatever else was changed.
        """
        groups = [other for other in self.groups if name == other.arm]
        same = [other for other in groups if other.variant == group.variant]
        wanted = _without_server(group)
        at_home = [other for other in groups if not other.aggregates and _without_server(other) == wanted]
        of_world = [other for other in groups if other.world == group.world]
        found = same or at_home or next((only for only in (of_world, groups) if len(only) == 1), [])
        return found[0] if found and found[0] is not group else None


def _without_server(group: Group) -> tuple[tuple[str, str], ...]:
    return group.settings(lambda name: not is_of_the_server(name))


def _is_of_the_shops(name: str) -> bool:
    """What shops do by themselves."""
    return not is_of_the_world(name) and not is_of_the_server(name)


def _usual(variants: Sequence[tuple[tuple[str, str], ...]]) -> frozenset[tuple[str, str]]:
    """Settings that at least three in four have: whoever has another stands out by it."""
    counts = Counter(setting for variant in variants for setting in variant)
    return frozenset(setting for setting, count in counts.items() if 4 * count >= 3 * len(variants))


def find_runs(directories: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Finished runs in or below the folders, and folders of runs that did not finish; both sorted.

    Raises:
        UserError: a folder does not exist, or no finished run lies in it or below.
    """
    finished: set[Path] = set()
    unfinished: set[Path] = set()
    for directory in map(Path, directories):
        if not os.path.isdir(directory):  # noqa: PTH112  # False too for a name that no file system takes
            raise UserError(f"{directory} is no folder. Give the folder of a run, or one that holds runs.")
        run_files = {path.parent.resolve() for path in directory.rglob("run.json")}
        started = {path.parent.parent.resolve() for path in directory.rglob(".hydra/config.yaml")} - run_files
        if not run_files:
            state = f"holds only unfinished runs ({len(started)})" if started else "holds no run"
            raise UserError(
                f"{directory} {state}: there is no run.json in it or below. Make one with: "
                f"ecc-fed run hydra.run.dir={directory}/first"
            )
        finished |= run_files
        unfinished |= started
    return sorted(finished), sorted(unfinished)


def _sort_key(group: Group) -> tuple[object, ...]:
    order = ARM_ORDER.index(group.arm) if group.arm in ARM_ORDER else len(ARM_ORDER)
    values: list[tuple[int, float, str]] = []
    for _, value in group.variant:
        try:
            values.append((0, float(value), ""))
        except ValueError:
            values.append((1, 0.0, value))
    return order, group.arm, values


def load_study(directories: Sequence[Path]) -> Study:
    """Reads every finished run in or below the folders.

    A run that repeats another's arm, seed and settings is left out in favour of the last by path,
    and a note says so: pooling both would count the same queries twice.

    Raises:
        UserError: a folder holds no run.
        RunDirectoryError: a run's file is broken; names file and row.
    """
    paths, unfinished = find_runs(directories)
    failed = dict(found for directory in directories for found in failures_below(Path(directory).resolve()))
    notes = [f"{path} did not finish and is left out." for path in unfinished if path not in failed]
    notes += [f"{each.name} failed and is left out: {each.error}" for each in failed.values()]
    runs = [load_run(path) for path in paths]
    settings = [settings_of(run) for run in runs]
    swept = swept_settings(runs, settings)
    short = short_names(swept)
    found: dict[tuple[str, tuple[str, ...]], dict[int, Run]] = {}
    for run, setting in zip(runs, settings, strict=True):
        seeds = found.setdefault((run.arm, tuple(setting.get(name, "null") for name in swept)), {})
        if run.seed in seeds:
            former = seeds[run.seed].directory.root
            notes.append(f"{former} is left out: {run.directory.root} has the same arm, seed and settings.")
        seeds[run.seed] = run

    def named(values: Sequence[str], say: Callable[[str, str], str]) -> tuple[tuple[str, str], ...]:
        return tuple((short[name], say(name, value)) for name, value in zip(swept, values, strict=True))

    usual = _usual([named(values, shown_value) for _, values in found])
    groups = [
        Group(
            arm,
            named(values, shown_value),
            tuple(seeds[seed] for seed in sorted(seeds)),
            tuple(swept),
            usual,
            named(values, bare_value),
        )
        for (arm, values), seeds in found.items()
    ]
    ordered = tuple(sorted(groups, key=_sort_key))
    return Study(ordered, (*notes, *_missing_shops(ordered), *_unlike_phases(ordered)), tuple(failed.values()))


def _missing_shops(groups: Sequence[Group]) -> list[str]:
    """A note for every run in which some shop has no row after evolution: its queries are in no mean."""
    notes = []
    for group in groups:
        for run in group.runs:
            missing = sorted(set(run.shops) - {row.shop_id for row in run.rows("final")})
            if missing:
                names = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
                notes.append(f"{group.label}, seed {run.seed}: no test reply after evolution from {names}.")
    return notes


def _unlike_phases(groups: Sequence[Group]) -> list[str]:
    runs = [(group.label, run) for group in groups for run in group.runs]
    return [f"{label}, seed {run.seed}: {note}" for label, run in runs for note in unlike_phases(run)]


def is_run(directory: Path) -> bool:
    """Whether `directory` itself is a finished run."""
    return RunDirectory(directory).run.is_file()
