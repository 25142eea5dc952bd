"""The rows of the table of the arms: quality with its intervals, and costs."""

from dataclasses import dataclass

from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, weighted_mean
from ecc_fed.reporting.counts import escalation, teacher, traffic
from ecc_fed.reporting.formatting import bytes_text, count_text, estimate_text, number_text
from ecc_fed.reporting.measures import BY_NAME, Measure
from ecc_fed.reporting.run import Flow, Run
from ecc_fed.reporting.study import OTHERS, Group, Study

HEADLINE = (
    "final_score", "similarity", "relevance", "fact_accuracy", "unseen_fact_accuracy", "platform_fact_accuracy",
    "other_shop_share", "chrf", "verbatim_share",
)  # fmt: skip
_ESCALATION = Measure("escalation_rate", "Escalation rate", "share", lambda row: None)
_EVALUATION = " (evaluation)"
_SERVING = {
    "up": ("adapter_up_bytes", "replies_up_bytes", "teacher_up_bytes"),
    "down": ("adapter_down_bytes", "replies_down_bytes", "teacher_down_bytes"),
}


@dataclass(frozen=True)
class Costs:
    """What a run of the group costs, a mean over its seeds; None where no run tells."""

    cloud_calls: float | None
    up_bytes: float | None
    down_bytes: float | None
    wall_seconds: float | None


@dataclass(frozen=True)
class ArmRow:
    """One line of the table: an arm, or `other` whose replies to its queries it was held against.

    `part` says of which part of the sweep these replies are, where they differ.
    """

    group: Group
    measures: dict[str, Estimate | None]
    escalation_first: Estimate | None
    escalation_last: Estimate | None
    costs: Costs
    other: str = ""
    part: str = ""

    @property
    def label(self) -> str:
        """Whose replies these are."""
        if not self.other:
            return self.group.label
        return f"{self.other} ({self.part})" if self.part else self.other


def _direction(run: Run, direction: str) -> float | None:
    parts = [value for key, value in traffic(run).items() if key in _SERVING[direction] and value is not None]
    return sum(parts) if parts else None


def costs(group: Group) -> Costs:
    """Cloud calls, bytes (without those of the evaluation) and seconds of a run of the group."""
    return Costs(
        cloud_calls=weighted_mean([teacher(run)["requests"] for run in group.runs]),
        up_bytes=weighted_mean([_direction(run, "up") for run in group.runs]),
        down_bytes=weighted_mean([_direction(run, "down") for run in group.runs]),
        wall_seconds=weighted_mean([run.info.runtime.wall_seconds for run in group.runs]),
    )


def flow_label(flow: Flow) -> str:
    """Such as "cloud teacher, up: prompt"; what only the evaluation asked is named so."""
    label = f"{flow.destination.replace('_', ' ')}, {flow.direction}: {flow.kind.replace('_', ' ')}"
    return f"{label}{_EVALUATION}" if flow.evaluation else label


def is_evaluation(label: str) -> bool:
    """Whether a flow's label says that only the evaluation asked."""
    return label.endswith(_EVALUATION)


def flows(group: Group) -> dict[str, float]:
    """Flow -> bytes of a run, a mean over the seeds that have a ledger."""
    ledgers = [run.traffic for run in group.runs if run.traffic is not None]
    totals: dict[str, float] = {}
    for ledger in ledgers:
        for flow, (num_bytes, _) in ledger.items():
            totals[flow_label(flow)] = totals.get(flow_label(flow), 0.0) + num_bytes / len(ledgers)
    return totals


def other_rows(study: Study) -> list[ArmRow]:
    """The teacher's and the human agent's rows: of each part of the sweep in which they differ, from its first arm."""
    nothing, rows = Costs(None, None, None, None), []
    for phase, name in OTHERS.items():
        label = name.replace("the teacher", "the simulated teacher") if study.simulated_cloud else name
        told: dict[str, Group] = {}
        for part in study.variants:
            group = next((group for group in part.groups if phase in group.others), None)
            if group is not None:
                told.setdefault(repr(sorted((key, row.reply) for key, row in group.rows(phase).items())), group)
        for group in told.values():
            part_label = group.variant_label if len(told) > 1 else ""
            rows.append(ArmRow(group, group.others[phase], None, None, nothing, label, part_label))
    return rows


def arm_rows(study: Study) -> list[ArmRow]:
    """The table's rows, in the study's order; below them the teacher's and the human agent's."""
    rows = []
    for group in study.groups:
        seed = derive_seed(0, "report", group.key, "escalation")
        rows.append(
            ArmRow(
                group=group,
                measures=group.final,
                escalation_first=escalation(group.runs, last=False, seed=seed),
                escalation_last=escalation(group.runs, last=True, seed=seed),
                costs=costs(group),
            )
        )
    return [*rows, *other_rows(study)]


def quality_cells(row: ArmRow, separator: str = " ") -> dict[str, str]:
    """Column title -> a measure's figure with its 95% interval after `separator`."""
    return {BY_NAME[name].label: estimate_text(row.measures[name], BY_NAME[name], separator) for name in HEADLINE}


def cost_cells(row: ArmRow, separator: str = " ") -> dict[str, str]:
    """Column title -> what the arm asks of the cloud, the network and the clock."""
    return {
        "Escalated, first round": estimate_text(row.escalation_first, _ESCALATION, separator),
        "Escalated, last round": estimate_text(row.escalation_last, _ESCALATION, separator),
        "Cloud calls": count_text(row.costs.cloud_calls),
        "Bytes up": bytes_text(row.costs.up_bytes),
        "Bytes down": bytes_text(row.costs.down_bytes),
        "Seconds": number_text(row.costs.wall_seconds),
    }


def cells(row: ArmRow, separator: str = " ") -> dict[str, str]:
    """Every column of the table of the arms."""
    return quality_cells(row, separator) | cost_cells(row, separator)
