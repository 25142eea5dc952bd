"""All that a report compares, gathered once for page, console and files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ecc_fed.reporting.comparison.differences import Verdict, baseline_arm, gains, verdicts
from ecc_fed.reporting.comparison.matrix import Matrix, shop_matrix
from ecc_fed.reporting.comparison.methods import MethodFigures, method_figures
from ecc_fed.reporting.comparison.pareto import Place, places
from ecc_fed.reporting.comparison.recovery import DriftFigures, RoundFigures, drift_figures, round_figures
from ecc_fed.reporting.comparison.sentences import Sentence, sentences
from ecc_fed.reporting.comparison.traits import Association, associations
from ecc_fed.reporting.comparison.worlds import OUTCOMES, World, worlds
from ecc_fed.reporting.measures import Measure
from ecc_fed.reporting.study import Study


@dataclass(frozen=True)
class Findings:
    """The comparisons of a study; each is worked out when it is first asked for.

    `baseline` is the arm that others are held against.
    """

    study: Study
    baseline: str

    @cached_property
    def worlds(self) -> list[World]:
        """Which arms saw the same shops."""
        return worlds(self.study)

    @cached_property
    def outcome(self) -> Measure | None:
        """What figures and console compare by: facts where any world has them, else the final score."""
        return next((m for m in OUTCOMES if any(m in world.outcomes for world in self.worlds)), None)

    @cached_property
    def matrices(self) -> list[Matrix]:
        """Shop by arm, a matrix for every world."""
        return [shop_matrix(world) for world in self.worlds]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Every arm against the baseline, outcome by outcome."""
        return [verdict for world in self.worlds for verdict in verdicts(self.study, world, self.baseline)]

    @cached_property
    def gains(self) -> list[Verdict]:
        """Every arm against itself before evolution, outcome by outcome."""
        return [gain for world in self.worlds for gain in gains(world)]

    @cached_property
    def sentences(self) -> list[Sentence]:
        """What was found, in words."""
        return sentences(self)

    @cached_property
    def associations(self) -> list[Association]:
        """Differences by traits of the shops."""
        return associations(self.verdicts)

    @cached_property
    def places(self) -> list[tuple[World, Measure, list[Place]]]:
        """Quality and costs, for every world and outcome."""
        return [(world, measure, places(world, measure)) for world in self.worlds for measure in world.outcomes]

    @cached_property
    def rounds(self) -> list[RoundFigures]:
        """Customers and labels, round by round."""
        return round_figures(self.study.groups)

    @cached_property
    def drift(self) -> list[DriftFigures]:
        """Facts by the days since they changed."""
        return drift_figures(self.study.groups)

    @cached_property
    def methods(self) -> list[MethodFigures]:
        """What every way to aggregate did."""
        return method_figures(self.study)

    def of_outcome(self, world: World | None = None) -> list[Verdict]:
        """The verdicts by the outcome that figures show, of one world or of all."""
        return [v for v in self.verdicts if v.measure == self.outcome and world in (None, v.world)]


def find(study: Study, baseline: str | None = None) -> Findings:
    """What the study found, against `baseline` (see `baseline_arm`).

    Raises:
        UserError: no run is of that arm.
    """
    return Findings(study, baseline_arm(study, baseline))
