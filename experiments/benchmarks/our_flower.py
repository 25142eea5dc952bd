"""One whole run of this package's federation that does nothing but fine-tune, over the shared engine.

Started by `engine.py`: the same shops, examples, rounds and cores as `stock_flower.py`, a host of one thread a core.
Prints the label tokens of the last round of all shops.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal

from ecc_fed.core.aggregation import AdapterUpdate, Exchange, Shapes
from ecc_fed.core.records import AdapterState, EvaluationReport, FineTuneJob, FineTuneSettings, PublicSet
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.evolution.settings import Services
from ecc_fed.federation.aggregation.fedavg import FedAvg
from ecc_fed.federation.arms import Aggregated
from ecc_fed.federation.limits import ReplyLimits
from ecc_fed.federation.plan import FederationPlan
from ecc_fed.federation.results import Checkpoint
from ecc_fed.hosts.settings import HostSettings
from ecc_fed.hosts.start import ray_hosts
from ecc_fed.privacy.ledger import MemoryLedger
from ecc_fed.runs.federation import run_federation
from experiments.benchmarks.shops import LORA_ALPHA, RANK, run_arguments, settings, shop_texts


class FineTuning:
    """A device whose shops fine-tune what the server sends on all their examples, and nothing else."""

    def __init__(self, base: str, products: str, shape: str, tuning: FineTuneSettings, shop_ids: tuple[str, ...]):
        import torch  # hosts alone need it, and the engine

        from ecc_fed.end_model.base import load_base
        from ecc_fed.end_model.engines.shared.engine import SharedEngine

        torch.set_num_threads(1)
        self.shop_ids = shop_ids
        engine = SharedEngine(
            load_base(base, device="cpu"),
            Lora(RANK, LORA_ALPHA, lora_dropout=0.0),
            base_products="bf16" if products == "bf16" else "same",
        )
        nobody: Any = SimpleNamespace(name="nobody", accept_score=0.0, judge=None, relevance=None, answer=None)
        self.services = Services(engine, nobody, nobody, nobody, MemoryLedger())
        self._tuning = tuning
        self._jobs: dict[str, Callable[[AdapterState, int], FineTuneJob]] = {}
        for shop_id in shop_ids:
            texts = shop_texts(shape, int(shop_id), tuning.steps * tuning.batch_size)
            self._jobs[shop_id] = partial(self._job, texts)

    def _job(self, texts: Any, adapter: AdapterState, seed: int) -> FineTuneJob:
        return FineTuneJob(adapter, None, texts, self._tuning, seed)

    def trial_job(self) -> FineTuneJob:
        """One step of the first shop."""
        job = self._jobs[self.shop_ids[0]](self.services.end_model.new_adapter(0), 0)
        return replace(job, settings=replace(self._tuning, steps=1))

    def adapter_shapes(self) -> Shapes:
        """Names and shapes of a fresh adapter."""
        return {name: tensor.shape for name, tensor in self.services.end_model.new_adapter(0).items()}

    def side_by_side(self, shop_ids: Sequence[str], phase: str, server_round: int) -> None:
        """Nothing is resumed."""

    def read_ahead(self, before_round: Mapping[str, int]) -> None:
        """Nothing lies on disk."""

    def train(
        self,
        shop_id: str,
        server_round: int,
        incoming: AdapterState | None,
        exchange: Exchange,
        control: AdapterState | None = None,
        public: PublicSet | None = None,
    ) -> AdapterUpdate:
        """All steps of a round."""
        adapter = self.services.end_model.new_adapter(0) if incoming is None else incoming
        result = self.services.end_model.fine_tune([self._jobs[shop_id](adapter, server_round)])[0]
        num_examples = self._tuning.steps * self._tuning.batch_size
        metrics = {"label_tokens": float(result.label_tokens)}
        return AdapterUpdate(shop_id, server_round, result.adapter, num_examples, LORA_ALPHA / RANK, metrics)

    def evaluate(
        self, shop_id: str, server_round: int, incoming: AdapterState | None, phase: Literal["base", "final"]
    ) -> EvaluationReport:
        """Nothing."""
        return EvaluationReport(0)


def main() -> None:
    """Runs the federation and prints its label tokens."""
    parser = run_arguments()
    parser.add_argument("--products", choices=["fp32", "bf16"], required=True)
    options = parser.parse_args()
    found: list[float] = []

    def round_ended(checkpoint: Checkpoint) -> None:
        record = checkpoint.rounds[-1]
        if record.failures:
            raise SystemExit(str(record.failures))
        found.append(sum(shop.metrics["label_tokens"] for shop in record.shops.values()))

    tuning = settings(options.steps, options.batch_size)
    cores = os.cpu_count() or 1
    with ray_hosts(HostSettings(hosts=cores), imports=("torch", "transformers.modeling_utils")) as hosts:
        run_federation(
            FederationPlan(
                Aggregated(options.rounds, evaluates_base=False),
                FedAvg(),
                limits=ReplyLimits(scale_at=Lora(RANK, LORA_ALPHA).scale_at),
            ),
            [str(shop) for shop in range(options.shops)],
            partial(FineTuning, options.base, options.products, options.shape, tuning),
            hosts,
            on_checkpoint=round_ended,
        )
    print(json.dumps({"label_tokens": round(found[-1])}))


if __name__ == "__main__":
    main()
