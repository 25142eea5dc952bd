"""Streams are named, stable and independent."""

import numpy as np

from ecc_fed.core.seeding import derive_rng, derive_seed


def test_values_are_fixed_for_good():
    # Frozen: a change here changes every published run.
    assert derive_seed(0) == int.from_bytes(bytes.fromhex("5feceb66ffc86f38"), "big") >> 1
    assert derive_seed(0, "fine_tune", "shop_00", 1) == 5843915173354404220
    assert derive_seed(-5, 1, "1") == 4905896018994148148
    assert derive_rng(0, "fine_tune", "shop_00", 1).integers(10**9) == 15099079


def test_names_that_look_alike_are_other_streams():
    paths = [(0,), (1,), (0, "a"), (0, "a", "b"), (0, "ab"), (0, "b", "a"), (0, 1), (0, "1"), (0, "a", 1), (0, "a1")]
    assert len({derive_seed(*path) for path in paths}) == len(paths)


def test_seed_fits_where_seeds_go():
    seeds = [derive_seed(seed, "x") for seed in range(200)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62


def test_numpy_integers_are_the_same_seed():
    assert derive_seed(np.int64(3), "x") == derive_seed(3, "x")


def test_generators_repeat_and_are_uncorrelated():
    assert derive_rng(1, "a").random() == derive_rng(1, "a").random()
    left, right = derive_rng(1, "a").normal(size=4000), derive_rng(1, "b").normal(size=4000)
    assert abs(np.corrcoef(left, right)[0, 1]) < 0.06
