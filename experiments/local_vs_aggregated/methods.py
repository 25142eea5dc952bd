"""Every way to aggregate in one table: what it is, what it goes with, what it takes, and what came of it.

    ecc-fed study local_vs_aggregated --allow experiments --out runs/local_vs_aggregated

Every cell is looked up: errors, bytes and seconds in the rows of the runs, quality in their replies; and what a method
goes with is tried, by asking its plan to take it. `scopes.svg` has what is a shop's own against what all shops share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ecc_fed.assembly.compose import load_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.assembly.privacy import build_private_training
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError, UserError
from ecc_fed.core.protocols import UpdateTransform
from ecc_fed.core.run_directory import write_text
from ecc_fed.core.statistics import Estimate
from ecc_fed.federation.transforms.clipping import ClipUpdate
from ecc_fed.reporting.comparison.differences import Verdict
from ecc_fed.reporting.comparison.findings import Findings, find
from ecc_fed.reporting.comparison.methods import EXACT, MethodFigures
from ecc_fed.reporting.comparison.worlds import FACTS, World
from ecc_fed.reporting.formatting import MISSING, bytes_text, difference_text, estimate_text
from ecc_fed.reporting.measures import BY_NAME
from ecc_fed.reporting.study import Group, load_study
from experiments.local_vs_aggregated.figure import scopes_figure
from experiments.paper.table6 import markdown

_SHOWN = ("final_score", "fact_accuracy", "platform_fact_accuracy")
# Both scopes together, then each.
AGAINST = (FACTS, BY_NAME["fact_accuracy"], BY_NAME["platform_fact_accuracy"])


@dataclass(frozen=True)
class Fits:
    """What a method goes with: shops of different ranks, secure aggregation, records' budgets of differential privacy
    (DP-SGD on the devices), and updates clipped on their way."""

    mixed_ranks: bool
    secure: bool
    private: bool
    clipped: bool


def fits(config: RunConfig) -> Fits:
    """Whether the run's plan, otherwise as it is, takes each."""
    ranks = replace(config.adapter, shared_rank=None, ranks=config.adapter.ranks or (4, 8))
    return Fits(
        _taken(replace(config, adapter=ranks)),
        _taken(replace(config, secure_aggregation=replace(config.secure_aggregation, enabled=True))),
        _taken(replace(config, privacy=replace(config.privacy, epsilon=8.0))),
        _taken(config, ClipUpdate(1.0)),
    )


def _taken(config: RunConfig, *transforms: UpdateTransform) -> bool:
    try:
        plan = build_plan(config)
        replace(plan, transforms=(*plan.transforms, *transforms))
        build_private_training(config)
    except ConfigError:
        return False
    return True


def method_table(figures: Sequence[MethodFigures], of: Mapping[str, Fits]) -> str:
    """A row for every method; of several worlds the first that it ran in, and the largest error of any."""
    by_method: dict[str, list[MethodFigures]] = {}
    for one in figures:
        by_method.setdefault(one.group.method_label, []).append(one)
    rows = []
    for label, found in by_method.items():
        errors = [one.worst for one in found if one.worst is not None]
        worst, goes = max(errors, default=None), of[label]
        exact = MISSING if worst is None else "yes" if worst < EXACT else "no"
        error = MISSING if worst is None else f"{worst:.2f}" if worst >= EXACT else f"below {EXACT:g}"
        first = found[0]
        seconds = MISSING if first.server_seconds is None else f"{first.server_seconds:.2f}"
        bytes_of_round = bytes_text(first.bytes_up), bytes_text(first.bytes_down)
        said = ["yes" if each else "no" for each in (goes.mixed_ranks, goes.secure, goes.private, goes.clipped)]
        rows.append([f"`{label}`", exact, error, *bytes_of_round, seconds, *said])
    head = (
        "Method",
        "Exact",
        "Error, worst round",
        "Up a round",
        "Down",
        "Server, s",
        "Mixed ranks",
        "SecAgg+",
        "DP of records",
        "Clipped updates",
    )
    return markdown(head, rows)


def quality_table(world: World, verdicts: Sequence[Verdict]) -> str:
    """A row for every arm and method of a world, with the differences to the baseline, paired by question, and the
    verdict shop by shop on facts of both scopes."""
    of = {(verdict.group.label, verdict.measure.name): verdict for verdict in verdicts}
    rows = []
    for group in world.groups:
        against = [of.get((group.label, measure.name)) for measure in AGAINST]
        differences = [MISSING if one is None else difference_text(one.overall, one.measure) for one in against]
        shops = MISSING if against[0] is None else against[0].text
        rows.append([f"`{group.method_label}`", *(_final(group, name) for name in _SHOWN), *differences, shops])
    baseline = next((verdict.baseline.arm for verdict in verdicts), "local")
    labels = [f"{measure.label}, against `{baseline}`" for measure in AGAINST]
    return markdown(("Arm", *(BY_NAME[name].label for name in _SHOWN), *labels, "Shops"), rows)


def _final(group: Group, name: str) -> str:
    estimate: Estimate | None = group.final[name]
    return estimate_text(estimate, BY_NAME[name])


def page(findings: Findings, of: Mapping[str, Fits]) -> str:
    """Both kinds of tables."""
    parts = ["# Methods\n", method_table(findings.methods, of)]
    for world in findings.worlds:
        seeds = ", ".join(map(str, world.seeds))
        parts += [
            f"\n## {world.label or 'One world'}; seeds {seeds}\n",
            quality_table(world, [each for each in findings.verdicts if each.world == world]),
        ]
    return "\n".join(parts)


@dataclass(frozen=True)
class Methods:
    """A `core.protocols.StudyView`."""

    def write(self, directory: Path, output: Path) -> list[Path]:
        """Writes `methods.md` for the runs in `directory`, and `scopes.svg` where they have facts of both scopes.

        Returns their paths.

        Raises:
            UserError: no run there aggregated.
            RunDirectoryError: a run's file is broken, or the output cannot be written.
        """
        findings = find(load_study([directory]))
        if not findings.methods:
            raise UserError(f"{directory} holds no run that aggregated.")
        of = {one.group.method_label: fits(load_config(one.group.runs[0].directory.config)) for one in findings.methods}
        texts = {"methods.md": page(findings, of), "scopes.svg": scopes_figure(findings.worlds)}
        paths = [output / name for name, text in texts.items() if text is not None]
        for path in paths:
            write_text(path, str(texts[path.name]))
        return paths
