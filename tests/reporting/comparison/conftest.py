"""Runs whose every answer is known: rights and wrongs by shop, written as a run folder would hold them."""

from dataclasses import replace

import pytest

from ecc_fed.core.rows import ShopProfile, read_run_info, write_record, write_rows
from tests.reporting.conftest import write_run
from tests.reporting.test_measures import fact, row


def answers(seed, shop, rights, *, same=False, days=()):
    """A query a dialogue, right or wrong in turn. `same`: dialogues that all seeds share. `days` since the change."""
    world = "" if same else f"|{seed}"
    return [
        replace(
            row(replace(fact(right=bool(right)), days_since_change=days[number] if days else None)),
            shop_id=shop, pair_id=f"p{number:03d}", session_id=f"{shop}/d{number}", query=f"{shop} {number}{world}",
            reference=f"r{world}",
        )
        for number, right in enumerate(rights)
    ]  # fmt: skip


@pytest.fixture
def known_run(tmp_path):
    """`known_run(arm, seed, {shop: rights})` writes a run that answers just so; options as `write_run`'s."""

    def make(arm, seed, rights, *, name=None, same=False, days=(), profiles=None, change=lambda info: info, **options):
        root = write_run(
            tmp_path / (name or f"{arm}{seed}"), arm, seed, queries=1, judged=False, likelihood=False,
            shop_names=list(rights), **options,
        )  # fmt: skip
        rows = [each for shop, of in rights.items() for each in answers(seed, shop, of, same=same, days=days)]
        write_rows(root / "samples.jsonl", rows)
        told = {shop: ShopProfile(*of) for shop, of in (profiles or {}).items()}
        write_record(root / "run.json", change(replace(read_run_info(root / "run.json"), profiles=told)))
        return root

    return make
