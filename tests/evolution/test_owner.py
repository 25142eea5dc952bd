"""Whose a state is."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from ecc_fed.evolution.owner import Owner, joint_digest


def test_one_digest_for_a_runs_shops_tells_shops_dialogues_and_order() -> None:
    first, second = Owner("run", "店a", "d1"), Owner("run", "b", "d2")
    both = joint_digest([first, second])
    assert both == hashlib.sha256("店a\x1fd1\nb\x1fd2".encode()).hexdigest()
    others = [
        [second, first],
        [first],
        [first, replace(second, dialogues_sha256="d3")],
        [first, replace(second, shop_id="c")],
    ]
    assert both not in {joint_digest(owners) for owners in others}
    assert joint_digest([replace(first, run_id="another"), second]) == both
    assert joint_digest([replace(first, shop_id="\ud800")]) == joint_digest([replace(first, shop_id="?")])
