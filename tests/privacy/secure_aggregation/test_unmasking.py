"""The stages from end to end without a network: sums with drop-outs, and what stays hidden from whom."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.privacy.secure_aggregation import masks, shamir
from ecc_fed.privacy.secure_aggregation.keys import secrets_of
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings
from ecc_fed.privacy.secure_aggregation.unmasking import NotUnmasked, added, too_few_left

from .parties import QUANTISATION, Parties, numbers_of


def expected(numbers, places) -> np.ndarray:
    return QUANTISATION.reduced(np.sum([numbers[place] for place in places], axis=0, dtype=np.uint64))


@pytest.mark.parametrize("degree", [6, 4], ids=["all", "ring"])
@pytest.mark.parametrize(
    "stops", [{}, {2: "shares"}, {2: "train"}, {2: "unmask"}, {0: "shares", 3: "train"}, {2: "train", 5: "unmask"}]
)
def test_the_survivors_sum_comes_out_exactly(tmp_path: Path, stops, degree: int) -> None:
    settings = SecureAggregationSettings(enabled=True, threshold=0.51)
    parties, numbers = Parties(tmp_path, 7, settings, stops=stops, degree=degree), numbers_of(7)
    parties.to_masked(numbers)
    sent = parties.there("train")
    assert np.array_equal(parties.total(parties.held()), expected(numbers, sent))


def test_every_pair_of_drop_outs_in_every_pair_of_stages(tmp_path: Path) -> None:
    numbers = numbers_of(6, size=3)
    for case, (one, other) in enumerate(product(("shares", "train", "unmask"), repeat=2)):
        parties = Parties(tmp_path / str(case), 6, stops={1: one, 4: other})
        parties.to_masked(numbers)
        assert np.array_equal(parties.total(parties.held()), expected(numbers, parties.there("train")))


def test_fewer_shares_than_the_threshold_give_no_sum(tmp_path: Path) -> None:
    parties, numbers = Parties(tmp_path, 5), numbers_of(5)
    parties.to_masked(numbers)
    held = parties.held()
    assert parties.threshold == 4
    few = {place: dict(list(shares.items())[:3]) for place, shares in held.items()}
    with pytest.raises(NotUnmasked, match="3 shares of a secret came, and 4 are needed"):
        parties.total(few)
    enough = {place: dict(list(shares.items())[:4]) for place, shares in held.items()}
    assert np.array_equal(parties.total(enough), expected(numbers, range(5)))


def test_shares_that_do_not_fit_are_told_where_they_can_be(tmp_path: Path) -> None:
    parties = Parties(tmp_path, 5, stops={2: "train"})
    parties.to_masked(numbers_of(5))
    held = parties.held()
    point = next(iter(held[2]))
    held[2][point] = (held[2][point] + 1) % shamir.PRIME
    with pytest.raises(NotUnmasked, match=r"do not give that key|of no one secret"):
        parties.total(held)


def test_nothing_is_added_up_of_nobody() -> None:
    with pytest.raises(NotUnmasked, match="no shop sent an update"):
        added([])


def test_what_the_server_holds_of_a_shop_looks_random(tmp_path: Path) -> None:
    """Alike numbers of eight shops: none is seen in what came, no two are alike, and bytes are uniform."""
    numbers = dict.fromkeys(range(8), QUANTISATION.encode(3, 3, np.zeros(20_480, np.float32)))
    parties = Parties(tmp_path, 8)
    parties.to_masked(numbers)
    for place, hidden in parties.hidden.items():
        assert (hidden == numbers[place]).mean() < 1e-3
        bytes_by_position = QUANTISATION.pack(hidden).reshape(-1, QUANTISATION.modulus_bytes).T
        for column in bytes_by_position:
            counts = np.bincount(column, minlength=256)
            assert ((counts - 80.00781) ** 2 / 80.00781).sum() < 360  # the 99.999th percentile at 255 degrees
        for other, values in parties.hidden.items():
            assert other == place or (hidden == values).mean() < 1e-3
    # Nor does the sum over all but one, which all but that one could take away.
    rest = added(parties.hidden[place] for place in range(7))
    assert not np.array_equal(QUANTISATION.reduced(rest), expected(numbers, range(7)))


def test_a_coalition_below_the_threshold_cannot_unmask_a_shop(tmp_path: Path) -> None:
    """With the shares of three colluders the server gets no survivor's seed; with a fourth it does.

    Colluders know the masks that they share with the victim, and take them away.
    """
    parties, numbers = Parties(tmp_path, 6), numbers_of(6)
    parties.to_masked(numbers)
    assert parties.threshold == 4
    victim, colluders = 0, (1, 2, 3, 4)
    held = parties.held()[victim]
    seen = parties.hidden[victim]

    def without_colluders(count: int) -> np.ndarray:
        left = seen.copy()
        for place in (*colluders[:count], 5):
            key = secrets_of(parties.devices[place]._root(1)).mask_key
            seed = masks.pair_mask_seed(key, parties.keys[victim].mask, parties.session, place, victim)
            masks.add_pair_mask(left, seed, place, victim)
        return left

    def attacked(count: int) -> np.ndarray | None:
        """All masks with others gone (even those with the honest place 5), by the shares of `count` colluders."""
        try:
            seed = shamir.combine({place + 1: held[place + 1] for place in colluders[:count]})
        except ValueError:
            return None
        left = without_colluders(4)
        return QUANTISATION.reduced(left - masks.mask(masks.self_mask_seed(seed, parties.session), len(left)))

    assert np.array_equal(attacked(4), numbers[victim])
    below = attacked(3)
    assert below is None or (below == numbers[victim]).mean() < 0.1


def test_who_is_left_must_hold_a_threshold_of_every_neighbourhood() -> None:
    ring = [(4, 1), (0, 2), (1, 3), (2, 4), (3, 0)]
    assert too_few_left(ring, range(5), 3) is None
    assert too_few_left(ring, (0, 1, 2, 3), 2) is None
    assert too_few_left(ring, (0, 1, 2, 3), 3) == "of a neighbourhood of 3 shops 2 are left, and 3 are needed"
    assert too_few_left(ring, (), 3) is None
