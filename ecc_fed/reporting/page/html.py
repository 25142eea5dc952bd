"""`report.html`: one file that opens offline. Style and plots stand inside, and every text is escaped."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ecc_fed.core.outside_text import visible
from ecc_fed.core.rows import RunInfo
from ecc_fed.core.secrets import without_secrets
from ecc_fed.reporting import reading
from ecc_fed.reporting.cloud import calls_table, gone_notes, rounds_table
from ecc_fed.reporting.comparison.differences import LEAST_DIFFERING
from ecc_fed.reporting.comparison.figures.matrix import MAX_SHOPS
from ecc_fed.reporting.comparison.figures.verdicts import forest
from ecc_fed.reporting.comparison.findings import Findings, find
from ecc_fed.reporting.comparison.page import context as compared
from ecc_fed.reporting.comparison.sentences import arm_lines
from ecc_fed.reporting.comparison.tables import gains_table
from ecc_fed.reporting.dialogues import verdicts
from ecc_fed.reporting.formatting import words
from ecc_fed.reporting.judges import study_notes
from ecc_fed.reporting.page import comparison, costs, dialogues, judging, quality
from ecc_fed.reporting.page.cells import Cell, PageTable
from ecc_fed.reporting.page.take_away import files
from ecc_fed.reporting.plots import arms, rounds, settings, shops
from ecc_fed.reporting.plots.svg import description_of
from ecc_fed.reporting.redaction import redaction_table
from ecc_fed.reporting.study import Study
from ecc_fed.reporting.sweep import read_config
from ecc_fed.reporting.tables.rows import ArmRow, arm_rows, cost_cells, quality_cells


@dataclass(frozen=True)
class Config:
    """A resolved config as text, with the runs it belongs to."""

    title: str
    text: str


def _configs(study: Study) -> list[Config]:
    """A config for every group, from its first seed."""
    found = []
    for group in study.groups:
        run = group.runs[0]
        title = f"{group.label}, seed {run.seed}"
        if len(group.runs) > 1:
            title += f" (also ran with seed {', '.join(str(seed) for seed in group.seeds[1:])})"
        if run.config is not None:
            # A key that stands in it would otherwise travel with every shared report.
            shown = without_secrets(read_config(run))
            found.append(Config(title, yaml.safe_dump(shown, allow_unicode=True, sort_keys=False)))
    return found


def _versions(study: Study) -> PageTable:
    """A line for every package; several versions where runs differ."""
    found: dict[str, dict[str, None]] = {}
    for run in study.runs:
        for name, version in run.info.versions.items():
            found.setdefault(name, {})[version] = None
    rows = [(Cell(name), Cell(", ".join(versions))) for name, versions in sorted(found.items())]
    return PageTable(("Package", "Version"), tuple(rows))


def _distinct(study: Study, of: Callable[[RunInfo], object]) -> str:
    values = dict.fromkeys(
        f"{value:g}" if isinstance(value, float) else str(value)
        for run in study.runs
        if (value := of(run.info)) is not None
    )
    return ", ".join(values)


def _facts(study: Study) -> dict[str, str]:
    """What stands under the title."""
    counts = {len(run.shops) for run in study.runs}
    shops = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    queries = sum(len(run.rows("final")) for run in study.runs)
    facts = {
        "Arms": ", ".join(dict.fromkeys(group.arm for group in study.groups)),
        "Seeds": ", ".join(map(str, sorted({run.seed for run in study.runs}))),
        "Shops a run": shops,
        "Test replies": f"{queries:,}",
        "Corpus": _distinct(study, lambda info: words(info.corpus)),
        "Language": _distinct(study, lambda info: info.language),
        "Platform share": _distinct(study, lambda info: info.platform_share),
        "Server rounds": _distinct(study, lambda info: info.server_rounds),
        "Cycles a round": _distinct(study, lambda info: info.cycles),
        "Teacher": study.cloud_name,
    }
    return {name: value for name, value in facts.items() if value}


def title(study: Study) -> str:
    """What the page calls itself."""
    if len(study.runs) == 1:
        return f"Run: {study.groups[0].label}, seed {study.runs[0].seed}"
    arms, settings = len({group.arm for group in study.groups}), len(study.variants)
    parts = [f"{arms} {'arm' if arms == 1 else 'arms'}"]
    if settings > 1:
        parts.append(f"{settings} settings")
    return f"Study: {', '.join(parts)}, {len(study.runs)} runs"


def _context(study: Study, rows: list[ArmRow], findings: Findings) -> Mapping[str, Any]:
    between, unpaired = comparison.between_arms(study)
    return {
        "title": title(study),
        "facts": _facts(study),
        "found": [one.text for one in findings.sentences],
        "arms_in_words": arm_lines(findings),
        "several": len(study.groups) > 1,
        "compared": compared(findings) if len(study.groups) > 1 else {},
        "drawn": _drawn(study),
        "several_seeds": any(len(group.runs) > 1 for group in study.groups),
        "notes": [*gone_notes(study), *study_notes(study), *study.notes, *unpaired],
        "cloud_calls": calls_table(study),
        "cloud_rounds": rounds_table(study),
        "arms": comparison.arms(rows, quality_cells),
        # Others' replies cost nobody anything.
        "costs": comparison.arms([row for row in rows if not row.other], cost_cells),
        "before_and_after": comparison.before_and_after(study),
        "between": between,
        "seeds": comparison.seeds(study),
        "facts_and_voice": quality.facts_and_voice(study),
        "gains": gains_table(findings),
        "gains_fit": all(len(world.queries) <= MAX_SHOPS for world in findings.worlds),
        "least_differing": LEAST_DIFFERING,
        "max_shops": MAX_SHOPS,
        "platform_shares": quality.platform_shares(study),
        "perplexities": quality.perplexities(study),
        "correlations": quality.correlations(study),
        "judges": judging.judges(study),
        "traffic": costs.traffic(study),
        "runtime": costs.runtime(study),
        "privacy": costs.privacy(study),
        "redaction": redaction_table(study),
        "readings": reading.tables(study),
        "failed_runs": costs.failed_runs(study),
        "failures": costs.failures(study),
        "flagged": costs.flagged(study),
        "dialogues": dialogues.shown(study),
        "facts_of": dialogues.facts_of,
        "judge_of": dialogues.judge_of,
        "verdicts": verdicts,
        "cloud_name": study.cloud_name,
        "configs": _configs(study),
        "versions": _versions(study),
        # Our own drawings: matplotlib escapes the texts in them.
        "plots": {
            name: [Markup(visible(svg)) for svg in drawn if svg is not None]
            for name, drawn in _plots(study, findings).items()
        },
    }


def _drawn(study: Study) -> str:
    """What the intervals draw; arms that draw the same are not told apart."""
    texts = {group.label: text for group in study.groups if (text := group.drawn)}
    if len(set(texts.values())) < 2:
        return next(iter(texts.values()), "nothing")
    return "; ".join(f"{text} ({label})" for label, text in texts.items())


def _plots(study: Study, findings: Findings) -> dict[str, list[str | None]]:
    return {
        "curves": [rounds.curves(study)],
        "arms": [arms.side_by_side(study)],
        "gains": [
            forest(
                [gain for gain in findings.gains if (gain.world, gain.measure) == (world, findings.outcome)],
                f"gains-{number}",
                "after minus before evolution",
            )
            for number, world in enumerate(findings.worlds)
        ],
        "settings": settings.curves(study),
        "shops": [*shops.shop_bars(study, "fact_accuracy"), *shops.shop_bars(study, "final_score")],
        "traffic": [arms.traffic_bars(study)],
        "aggregation": [rounds.aggregation_curves(study)],
    }


def _shown(value: Any) -> Any:
    """A text with its control characters as escapes; whatever else the page holds as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def render(study: Study, rows: list[ArmRow] | None = None, findings: Findings | None = None) -> str:
    """The page for one run or several.

    Args:
        study: the runs.
        rows: the table of the arms, where it is at hand already.
        findings: the comparisons, likewise.
    """
    environment = Environment(
        loader=PackageLoader("ecc_fed.reporting.page"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"files": files, "description_of": description_of}
    context = _context(study, rows if rows is not None else arm_rows(study), findings or find(study))
    return environment.get_template("report.html").render(context).lstrip()
