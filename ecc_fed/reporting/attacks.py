"""What attacks got out of a run's adapters: figures with intervals, as lines and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecc_fed.core.rows import AttackName, AttackRow, AttackTarget, read_rows
from ecc_fed.core.run_directory import RunDirectory, write_text
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, Units, bootstrap_auc, bootstrap_mean, true_positive_rate
from ecc_fed.reporting.formatting import MISSING, interval_text, value_text

# What a table calls them.
ATTACKS: Mapping[AttackName, str] = {
    "membership_loss": "Membership by loss, AUC",
    "membership_ratio": "Membership by ratio to the base, AUC",
    "membership_min_k": "Membership by Min-20%, AUC",
    "membership_lira": "Membership by LiRA, AUC",
    "exposure": "Exposure, bits",
    "extraction": "Extraction",
    "reconstruction": "Redacted value guessed back, bits",
    "coverage": "Values that another shop's questions get",
    "efficiency": "Replies to them that say one",
}
TARGETS: Mapping[AttackTarget, str] = {
    "base": "Bare base (control)",
    "device": "Shop's own adapter",
    "other_shop": "Sent to another shop",
}
_SHARES = ("extraction", "coverage", "efficiency")
_BITS = ("exposure", "reconstruction")
_UNITS = {name: "bits" if name in _BITS else "share" if name in _SHARES else "score" for name in ATTACKS}
FALSE_POSITIVES = 0.01
_COLUMNS = (
    *("attack", "target", "kind", "mean", "ci95_low", "ci95_high"),
    *("members", "others", "tpr_at_1_percent_fpr", "most"),
)


@dataclass(frozen=True)
class AttackFigure:
    """One attack on one kind of adapter.

    `estimate` is an AUC, mean bits, or a share; `found`: of a membership attack, the share of members found where 1%
    of the others are accused; `members`, `others`: how many; `most`: of an exposure or reconstruction, the
    bits possible.
    """

    attack: AttackName
    target: AttackTarget
    kind: str
    estimate: Estimate
    members: int
    others: int
    found: float | None = None
    most: float | None = None


def attack_figures(rows: Sequence[tuple[int, AttackRow]]) -> list[AttackFigure]:
    """Every attack's figure over rows with their runs' seeds; intervals draw shops, then dialogues."""
    groups: dict[tuple[AttackName, AttackTarget, str], list[tuple[int, AttackRow]]] = {}
    for seed, row in rows:
        groups.setdefault((row.attack, row.target, row.kind), []).append((seed, row))
    places = {name: place for place, name in enumerate((*ATTACKS, *TARGETS))}
    found = []
    # "4x" before "16x".
    for key in sorted(groups, key=lambda key: (places[key[0]], len(key[2]), key[2], places[key[1]])):
        figure = _figure(*key, groups[key])
        if figure is not None:
            found.append(figure)
    return found


def _figure(
    attack: AttackName, target: AttackTarget, kind: str, rows: Sequence[tuple[int, AttackRow]]
) -> AttackFigure | None:
    scores = [row.score for _, row in rows]
    units = Units([(seed, row.shop_id) for seed, row in rows], [row.session_id for _, row in rows])
    seed = derive_seed(0, "report", "attack", attack, target, kind)
    if not attack.startswith("membership"):
        mean = bootstrap_mean(scores, units, seed)
        return None if mean is None else AttackFigure(attack, target, kind, mean, len(rows), 0, most=rows[0][1].most)
    members = [bool(row.member) for _, row in rows]
    area = bootstrap_auc(scores, members, units, seed)
    if area is None:
        return None
    rate = true_positive_rate(scores, members, FALSE_POSITIVES)
    return AttackFigure(attack, target, kind, area, sum(members), len(members) - sum(members), rate)


def shown(figure: AttackFigure) -> str:
    """The figure with its interval."""
    unit = _UNITS[figure.attack]
    mean = f"{figure.estimate.mean:.1f}" if unit == "bits" else value_text(figure.estimate.mean, unit)
    if figure.most is not None:
        mean = f"{mean} of {figure.most:.0f}"
    interval = interval_text(figure.estimate, "chrf" if unit == "bits" else unit)
    return " ".join(part for part in (mean, interval) if part)


def table(figures: Sequence[AttackFigure]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: a row an attack and kind, a column a target."""
    targets = [target for target in TARGETS if any(one.target == target for one in figures)]
    cells: dict[tuple[str, str], dict[AttackTarget, str]] = {}
    for one in figures:
        count = f"{one.members} and {one.others} others" if one.others else f"{one.members}"
        name = f"{ATTACKS[one.attack]}: {one.kind}" if one.kind else ATTACKS[one.attack]
        cells.setdefault((name, count), {})[one.target] = shown(one)
        if one.found is not None:
            beside = f"{ATTACKS[one.attack].removesuffix(', AUC')}, found at 1% false accusations"
            cells.setdefault((beside, count), {})[one.target] = value_text(one.found, "share")
    rows = [[name, count, *(of.get(target, MISSING) for target in targets)] for (name, count), of in cells.items()]
    return ["Attack", "Of", *(TARGETS[target] for target in targets)], rows


def write_attacks(directory: RunDirectory, seed: int) -> list[AttackFigure]:
    """Writes `attacks.csv` beside the rows, and returns what stands in it.

    Raises:
        RunDirectoryError: the rows are missing or broken.
    """
    rows = [(seed, row) for row in read_rows(directory.attacks / "rows.jsonl", AttackRow)]
    figures = attack_figures(rows)
    write_text(directory.attacks / "attacks.csv", attacks_csv(figures))
    return figures


def attacks_csv(figures: Sequence[AttackFigure]) -> str:
    """A line a figure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "attack",
            "target",
            "kind",
            "mean",
            "ci95_low",
            "ci95_high",
            "members",
            "others",
            "tpr_at_1_percent_fpr",
            "most",
        ]
    )
    for one in figures:
        bounds = (one.estimate.mean, one.estimate.low, one.estimate.high)
        numbers = ["" if value is None else f"{value:.6g}" for value in (*bounds, one.found, one.most)]
        writer.writerow([one.attack, one.target, one.kind, *numbers[:3], one.members, one.others, *numbers[3:]])
    return out.getvalue()
