"""The small version of experiments/reliability/shop_rounds.py: nothing but results stays of a shop-round."""

import gc
import sys
import tracemalloc
from functools import partial

import pytest

from ecc_fed.hosts.in_process import InProcessHosts
from ecc_fed.runs.federation import run_federation
from experiments.reliability.shop_rounds import Shops, measure
from tests.federation.fakes import aggregated

SHOPS, ROUNDS = 6, 6


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_threads_and_open_files_stay_as_they_are():
    first, last = measure(SHOPS, 4, (1, 4))
    assert (first.server_round, last.server_round) == (1, 4)
    assert (first.threads, first.open_files) == (last.threads, last.open_files)


def test_memory_grows_by_less_than_an_adapter_for_each_shop_round(tmp_path):
    traced: dict[int, int] = {}

    def round_ended(checkpoint):
        record = checkpoint.rounds[-1]
        assert not record.failures
        gc.collect()
        traced[record.server_round] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        run_federation(
            aggregated(ROUNDS, evaluates_base=False),
            [str(number) for number in range(SHOPS)],
            partial(Shops, tmp_path),
            InProcessHosts(),
            on_checkpoint=round_ended,
        )
    finally:
        tracemalloc.stop()
    # An adapter takes 16 kB, a shop-round's rows and ledger with its digests 4 kB.
    assert (traced[ROUNDS] - traced[3]) / ((ROUNDS - 3) * SHOPS) < 6000
