"""What Ray, Flower, the meetings of shops and their files cost: the part of a round outside the services.

    python experiments/benchmarks/rounds.py --json FILE

One run on the embedded models: 16 shops on one host with the shared engine, 20 steps a shop and round, every shop's
state saved to disk each round. Prints where the seconds of a round went (the median round of those after the first) and
writes {"overhead_fraction": x} to FILE: seconds outside the services over the round's seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_plan
from ecc_fed.core.run_claim import new_run_id
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.federation.arms import Aggregated
from ecc_fed.federation.results import Checkpoint
from ecc_fed.hosts.reports import HostReport
from ecc_fed.hosts.start import ray_hosts
from ecc_fed.runs.federation import run_federation
from ecc_fed.runs.hosting import HostDevices
from ecc_fed.runs.reading import read_corpus

SERVICES = ("end_model", "judge", "teacher")


def rounds(num_shops: int, steps: int, server_rounds: int, overrides: list[str]) -> list[dict[str, float]]:
    """Seconds of every round, by where they went."""
    # Six queries a shop and round: what is served is little beside what is trained.
    settings = [
        "runtime.engine=shared",
        "runtime.hosts=1",
        f"corpus.num_shops={num_shops}",
        f"corpus.pairs_per_shop={round(6 * server_rounds / 0.7)}",
        "corpus.test_pairs_per_shop=2",
        f"evolution.server_rounds={server_rounds}",
        f"finetune.steps={steps}",
        "decoding.max_new_tokens=32",
    ]
    config = to_run_config(compose_run([*settings, *overrides]))
    shops, truth, _ = read_corpus(config)
    shop_ids = [shop.shop_id for shop in shops]
    measured: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="ecc_fed-benchmark-") as folder, ray_hosts(config.runtime) as hosts:
        before: list[HostReport] = []

        def ready(reports: tuple[HostReport, ...]) -> None:
            print(f"{reports[0].shops_per_batch} shops side by side: {reports[0].batch_reason}")

        def round_ended(checkpoint: Checkpoint) -> None:
            record = checkpoint.rounds[-1]
            assert not record.failures, record.failures
            report = hosts.reports()[0]
            if before:
                last = before.pop()
                busy = report.busy_seconds - last.busy_seconds
                spent = {name: report.service_seconds[name] - last.service_seconds[name] for name in SERVICES}
                measured.append(
                    {
                        **spent,
                        "meetings, shops' code and files": busy - sum(spent.values()),
                        "Ray and Flower": record.seconds - busy,
                        "round": record.seconds,
                    }
                )
            before.append(report)

        run_federation(
            replace(build_plan(config), arm=Aggregated(server_rounds, evaluates_base=False)),
            shop_ids,
            HostDevices(config, shops, truth, RunDirectory(Path(folder)), new_run_id(), tuple(shop_ids)),
            hosts,
            settings=config.runtime,
            on_open=ready,
            on_checkpoint=round_ended,
        )
    return measured


def overhead(spent: dict[str, float]) -> float:
    """The share of a round outside the services."""
    return 1 - sum(spent[name] for name in SERVICES) / spent["round"]


def main() -> None:
    """Measures, prints one table, writes the share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--shops", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=4, help="the first is not counted")
    parser.add_argument("overrides", nargs="*", help="further settings, as for `ecc-fed run`")
    options = parser.parse_args()
    measured = sorted(rounds(options.shops, options.steps, options.rounds, options.overrides), key=overhead)
    median = measured[len(measured) // 2]
    print(f"\n{'of a round':<34}{'seconds':>9}{'share':>8}")
    for name, seconds in median.items():
        print(f"{name:<34}{seconds:>9.3f}{seconds / median['round']:>8.1%}")
    print(f"outside the services: {', '.join(f'{overhead(spent):.1%}' for spent in measured)} of a round")
    if options.json is not None:
        options.json.write_text(json.dumps({"overhead_fraction": overhead(median)}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
