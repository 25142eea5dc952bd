"""What a router is worth on runs that are there: deferral curve, calibration, cost and latency.

    python -m experiments.router.worth RUN... [--out experiments/router] [--confidence 0.4] [--rtt-milliseconds 60 ...]

Every test query of the runs was answered by the shop's own model and by the cloud, so that any way of choosing
between them can be priced afterwards. Runs of several seeds count together. Prices are the teacher's declared ones;
the network is declared too (`experiments/router/network.py`), nothing here was timed.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ecc_fed.core.errors import UserError
from ecc_fed.core.run_directory import write_text
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.statistics import Estimate, Units, bootstrap_auc
from ecc_fed.core.statistics.resampling import RESAMPLES, estimates, resampled
from ecc_fed.reporting.formatting import MISSING, interval_text, value_text
from ecc_fed.reporting.routing.calibration import calibration_error, reliability
from ecc_fed.reporting.routing.deferral import DeferralCurve, deferral_curve, oracle_curve
from ecc_fed.reporting.routing.queries import RoutedQuery, quality_of, routed_queries
from ecc_fed.reporting.run import Run
from ecc_fed.reporting.study import load_study
from experiments.paper.table6 import markdown
from experiments.router.figure import worth_figure
from experiments.router.network import Network

Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.float64]
_SEED = 20251


@dataclass(frozen=True, slots=True)
class CloudCall:
    """A mean call of the evaluation: what it costs, and its bytes either way."""

    dollars: float
    up_bytes: float
    down_bytes: float


def mean_call(runs: Sequence[Run]) -> CloudCall:
    """Over the final evaluations' calls that were paid, and the ledger of both evaluations."""
    calls = [run.info.cloud[phase] for run in runs for phase in ("base", "final") if phase in run.info.cloud]
    asked = sum(each.requests - each.cached for each in calls)
    sent = {"up": 0, "down": 0}
    for run in runs:
        for flow, (num_bytes, _) in (run.traffic or {}).items():
            if flow.evaluation:
                sent[flow.direction] += num_bytes
    if not asked:
        raise UserError("These runs asked the cloud about no test query: run them with a teacher.")
    return CloudCall(sum(each.cost_usd for each in calls) / asked, sent["up"] / asked, sent["down"] / asked)


@dataclass(frozen=True)
class Worth:
    """The queries of some runs as columns, with the curves over them."""

    queries: Sequence[RoutedQuery]

    def __post_init__(self) -> None:
        if not self.queries:
            raise UserError(
                "No test query here has the reply of both sides and a router's confidence: the runs need schema 4, at "
                "least two rounds of evolution.reference=always, sampled or routed, and a cloud that answered."
            )

    @property
    def columns(self) -> tuple[list[float], list[float], list[float]]:
        """Quality of the device, of the cloud, and the confidences."""
        q = self.queries
        return [each.device for each in q], [each.cloud for each in q], [each.confidence for each in q]

    def router(self, counts: Counts | None = None) -> DeferralCurve:
        """Least sure first."""
        return deferral_curve(*self.columns, counts)

    def oracle(self, counts: Counts | None = None) -> DeferralCurve:
        """Most gained first."""
        device, cloud, _ = self.columns
        return oracle_curve(device, cloud, counts)

    def error(self, counts: Counts | None = None) -> float:
        """Expected calibration error."""
        return calibration_error([q.confidence for q in self.queries], [q.good for q in self.queries], counts)

    def share_below(self, confidence: float) -> float:
        """Queries that a router hands over at this confidence."""
        return float(np.mean([each.confidence < confidence for each in self.queries]))

    def areas(self) -> dict[str, Estimate | None]:
        """How well the confidence, and each signal alone, tells good replies from others; None where unmeasured."""
        columns = {
            "the confidence": [query.confidence for query in self.queries],
            "the margin": [query.signals.margin for query in self.queries],
            "the question's nearness": [
                None if query.signals.distance is None else 1 - query.signals.distance for query in self.queries
            ],
        }
        found: dict[str, Estimate | None] = {}
        for name, values in columns.items():
            rows = [i for i, value in enumerate(values) if value is not None]
            scores = [value for value in values if value is not None]
            good = [self.queries[i].good for i in rows]
            found[name] = bootstrap_auc(scores, good, self.units.take(rows), derive_seed(_SEED, name))
        return found

    @property
    def units(self) -> Units:
        """Shop and dialogue of every query."""
        return Units([query.unit[0] for query in self.queries], [query.unit[1] for query in self.queries])

    def estimate(self, figure: Callable[[Counts], float | None], name: str) -> Estimate | None:
        """A figure with its interval over shops, dialogues in them, and queries."""
        units = self.units

        def one(counts: Counts) -> float:
            value = figure(counts)
            return float("nan") if value is None else value

        draws = resampled(
            units,
            derive_seed(_SEED, name),
            RESAMPLES // 4,
            lambda block: np.array([[one(counts)] for counts in block], dtype=np.float64),
        )
        everybody = np.ones((len(self.queries), 1), dtype=bool)
        point = np.array([one(np.ones(len(self.queries)))])
        return estimates(point, draws, everybody, units, 0.95)[0]


def _shown(estimate: Estimate | None, unit: str) -> str:
    return MISSING if estimate is None else f"{value_text(estimate.mean, unit)} {interval_text(estimate, unit)}".strip()


def answers_table(worth: Worth, call: CloudCall, confidence: float, resolves: bool = True) -> str:
    """Who answers, how well, and what a resolved query costs; random and oracle at the router's budget.

    `resolves`: quality is the share of queries resolved. A mean chrF is not, and has no price.
    """
    share = worth.share_below(confidence)
    router, oracle = worth.router(), worth.oracle()
    device, cloud = float(router.qualities[0]), float(router.qualities[-1])
    lines = [
        ("never the cloud", 0.0, device),
        ("always the cloud", 1.0, cloud),
        (f"router, below a chance of {confidence:g}", share, router.quality(share)),
        ("random at the router's budget", share, device + share * (cloud - device)),
        ("oracle at the router's budget", share, oracle.quality(share)),
    ]
    rows = []
    for name, handed, quality in lines:
        price = f"{1e3 * call.dollars * handed / quality:.3f}" if resolves and quality > 0 else MISSING
        rows.append([name, f"{handed:.1%}", f"{quality:.1%}", price])
    head = ["Who answers", "To the cloud", "Quality", "US dollars for 1,000 resolved (declared prices)"]
    return markdown(head, rows)


def figures_table(worth: Worth) -> str:
    """APGR of router and oracle, and the calibration error, with their intervals."""
    router = worth.estimate(lambda counts: worth.router(counts).gain_recovered, "router")
    oracle = worth.estimate(lambda counts: worth.oracle(counts).gain_recovered, "oracle")
    error = worth.estimate(worth.error, "calibration")
    # No shops where seeds share their dialogues, or there is one.
    shops, _ = worth.units.shops_and_dialogues(np.ones(len(worth.queries), dtype=bool))
    rows = [
        ["APGR, router", _shown(router, "score")],
        ["APGR, random (closed form)", "0.500"],
        ["APGR, oracle", _shown(oracle, "score")],
        ["Expected calibration error", _shown(error, "score")],
        *[[f"AUC of {name} against good replies", _shown(auc, "score")] for name, auc in worth.areas().items()],
        ["Queries; shops", f"{len(worth.queries):,}; {MISSING if shops is None else f'{shops:,}'}"],
    ]
    return markdown(["Over the queries of all runs", "95% interval over shops, dialogues, queries"], rows)


def latency_table(worth: Worth, call: CloudCall, network: Network, confidence: float) -> str:
    """Seconds until the reply is whole, under the declared network."""
    device = network.device_seconds([query.device_characters for query in worth.queries])
    cloud = network.cloud_reply_seconds(
        [query.cloud_characters for query in worth.queries], call.up_bytes, call.down_bytes
    )
    handed = np.array([query.confidence < confidence for query in worth.queries])
    columns: dict[str, Values] = {
        "never the cloud": device,
        "always the cloud": cloud,
        # How sure the device is shows only once it has answered: whom it hands over has waited for that too.
        f"router, below a chance of {confidence:g}": device + handed * cloud,
    }
    rows = [[name, *[f"{np.percentile(seconds, p):.2f}" for p in (50, 95, 99)]] for name, seconds in columns.items()]
    return markdown(["Seconds, declared network", "p50", "p95", "p99"], rows)


def curve_csv(worth: Worth) -> str:
    """Share to the cloud, and the quality that router, random and oracle then have."""
    router, oracle = worth.router(), worth.oracle()
    device, cloud = float(router.qualities[0]), float(router.qualities[-1])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["share_to_cloud", "router", "random", "oracle"])
    for share in np.linspace(0, 1, 21):
        values = (router.quality(share), device + share * (cloud - device), oracle.quality(share))
        writer.writerow([f"{share:.2f}", *[f"{value:.6g}" for value in values]])
    return out.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes worth.md, deferral.csv and worth.svg, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--confidence", type=float, default=0.4)
    for field in fields(Network):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    given = parser.parse_args(arguments)
    network = Network(**{field.name: getattr(given, field.name) for field in fields(Network)})
    runs = load_study(given.runs).runs
    worth, call = Worth(routed_queries(runs)), mean_call(runs)
    qualities = {quality_of(run) for run in runs}
    measured = {"facts": "all facts of the query right", "chrf": "chrF against the human reply, of 100"}
    text = "\n".join(
        [
            f"Quality: {', '.join(sorted(measured[quality] for quality in qualities))}.\n",
            answers_table(worth, call, given.confidence, resolves=qualities == {"facts"}),
            figures_table(worth),
            latency_table(worth, call, network, given.confidence),
            "Network: " + ", ".join(f"{f.name} {getattr(network, f.name):g}" for f in fields(network)) + ".\n",
        ]
    )
    write_text(given.out / "worth.md", text)
    write_text(given.out / "deferral.csv", curve_csv(worth))
    bins = reliability([q.confidence for q in worth.queries], [q.good for q in worth.queries])
    write_text(given.out / "worth.svg", worth_figure(worth.router(), worth.oracle(), bins))
    print(text)


if __name__ == "__main__":
    main()
