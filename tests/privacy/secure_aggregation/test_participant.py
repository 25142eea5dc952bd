"""What a device refuses, what it answers twice alike, and what is left on its disk."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.privacy.secure_aggregation.messages import Ending, Inbox, PublicKeys, Roster
from ecc_fed.privacy.secure_aggregation.participant import Participant, RefusedRequest
from ecc_fed.privacy.secure_aggregation.session_file import FILE_NAME, load_session
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings

from .parties import QUANTISATION, SETTINGS, Parties, numbers_of

NUMBERS = numbers_of(5)


@pytest.fixture
def parties(tmp_path: Path) -> Parties:
    return Parties(tmp_path, 5)


def test_a_server_that_asks_for_both_shares_of_a_shop_is_refused(parties: Parties) -> None:
    parties.stops = {3: "train"}
    parties.to_masked(NUMBERS)
    device = parties.devices[0]
    with pytest.raises(RefusedRequest, match="both shares of place 3"):
        device.reveal(Ending("s-1", (0, 1, 2, 3, 4), (3,)))
    device.reveal(Ending("s-1", (0, 1, 2, 4), (3,)))
    for other in (Ending("s-1", (0, 1, 2, 3, 4), ()), Ending("s-1", (0, 1, 4, 3), (2,))):
        with pytest.raises(RefusedRequest, match="another ending"):
            device.reveal(other)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (Ending("s-1", (0, 1, 2, 3), ()), "others than those"),
        (Ending("s-1", (0, 1, 2, 3, 4, 5), ()), "others than those"),
        (Ending("s-1", (0, 1, 1, 2, 3, 4), ()), "twice for one place"),
        (Ending("s-1", (1, 2, 3, 4), (0,)), "it sent no update, and it did"),
        (Ending("s-1", (0, 1, 2), (3, 4)), "3 of its neighbourhood survive; the threshold is 4"),
        (Ending("s-2", (0, 1, 2, 3, 4), ()), "knows nothing of this session"),
    ],
)
def test_an_ending_that_could_tell_more_than_the_sum_is_refused(parties: Parties, ending: Ending, reason: str) -> None:
    parties.to_masked(NUMBERS)
    with pytest.raises(RefusedRequest, match=reason):
        parties.devices[0].reveal(ending)
    assert len(parties.devices[0].reveal(parties.ending(0))) == 5  # nothing was given away by the refusal


def test_nothing_is_unmasked_before_an_update_was_sent(parties: Parties) -> None:
    parties.to_shares()
    with pytest.raises(RefusedRequest, match="before it has sent an update"):
        parties.devices[0].reveal(Ending("s-1", (0, 1, 2, 3, 4), ()))


def spoilt(parties: Parties, case: str) -> Roster:
    good = parties.roster(0)
    keys = dict(good.keys)
    if case == "own":
        return replace(good, keys={**keys, 0: keys[1], 1: keys[0]})
    if case == "twice":
        return replace(good, keys={**keys, 2: PublicKeys(keys[1].cipher, keys[2].mask)})
    if case == "reflected":
        return replace(good, keys={**keys, 2: keys[0]})
    if case == "few":
        return replace(good, threshold=2, keys={place: keys[place] for place in (0, 1)})
    if case == "low":
        return replace(good, threshold=3)
    if case == "high":
        return replace(good, threshold=6)
    return replace(good, place=9)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("own", "other keys in its own place"),
        ("missing", "other keys in its own place"),
        ("twice", "the same key twice"),
        ("reflected", "the same key twice"),
        ("few", "neighbourhood has 2 shops"),
        ("low", "the threshold is 3 of 5; its own settings say 4"),
        ("high", "the threshold is 6 of 5"),
    ],
)
def test_a_roster_that_weakens_it_is_refused(tmp_path: Path, case: str, reason: str) -> None:
    parties = Parties(tmp_path, 5, SecureAggregationSettings(enabled=True))
    parties.keys = {place: each.public_keys("s-1", 1) for place, each in enumerate(parties.devices)}
    with pytest.raises(RefusedRequest, match=reason):
        parties.devices[0].shares(spoilt(parties, case))
    parties.devices[0].shares(parties.roster(0))


def test_a_second_roster_or_inbox_in_one_session_is_refused(parties: Parties) -> None:
    parties.to_shares()
    device, inbox = parties.devices[0], parties.inbox(0)
    with pytest.raises(RefusedRequest, match="another roster"):
        device.shares(replace(parties.roster(0), threshold=5))
    device.masked(inbox, 1, NUMBERS[0], QUANTISATION)
    fewer = Inbox("s-1", {place: inbox.ciphertexts[place] for place in (1, 2, 3)})
    with pytest.raises(RefusedRequest, match="another inbox"):
        device.masked(fewer, 1, NUMBERS[0], QUANTISATION)


def test_other_numbers_under_the_same_masks_are_not_sent(parties: Parties) -> None:
    parties.to_shares()
    device = parties.devices[0]
    first = device.masked(parties.inbox(0), 1, NUMBERS[0], QUANTISATION)
    assert np.array_equal(device.masked(parties.inbox(0), 1, NUMBERS[0], QUANTISATION), first)
    with pytest.raises(RefusedRequest, match="both would show"):
        device.masked(parties.inbox(0), 1, NUMBERS[1], QUANTISATION)


def test_updates_leave_for_their_round_and_for_enough_neighbours_alone(parties: Parties) -> None:
    parties.keys = {place: each.public_keys("s-1", 1) for place, each in enumerate(parties.devices)}
    device = parties.devices[0]
    with pytest.raises(RefusedRequest, match="before the shares were given out"):
        device.check(Inbox("s-1", {}), 1)
    parties.to_shares()
    inbox = parties.inbox(0)
    few = Inbox("s-1", {place: inbox.ciphertexts[place] for place in (1, 2)})
    for wrong, server_round, reason in (
        (inbox, 2, "of server round 1, not of 2"),
        (few, 1, "3 of its neighbourhood are left; the threshold is 4"),
        (Inbox("s-1", {**inbox.ciphertexts, 7: b""}), 1, "of no neighbour"),
        (Inbox("s-1", {**inbox.ciphertexts, 0: b""}), 1, "of no neighbour"),
        (Inbox("s-9", inbox.ciphertexts), 1, "knows nothing of this session"),
    ):
        with pytest.raises(RefusedRequest, match=reason):
            device.check(wrong, server_round)


def test_a_device_that_starts_again_answers_the_same(parties: Parties) -> None:
    parties.settings = replace(SETTINGS, seeded_keys=False)
    parties.__post_init__()
    parties.to_masked(NUMBERS)
    again = Participant(parties.settings, "shop_0", parties.folder / "shop_0", 99)
    assert again.public_keys("s-1", 1) == parties.keys[0]
    assert again.shares(parties.roster(0)) == parties.ciphertexts[0]
    assert np.array_equal(again.masked(parties.inbox(0), 1, NUMBERS[0], QUANTISATION), parties.hidden[0])
    assert again.reveal(parties.ending(0)) == parties.devices[0].reveal(parties.ending(0))


def test_a_session_that_has_ended_keeps_no_secret(parties: Parties) -> None:
    parties.to_masked(NUMBERS)
    device = parties.devices[0]
    root = load_session(device.folder).root
    device.reveal(parties.ending(0))
    kept = json.loads((device.folder / FILE_NAME).read_text())
    assert (kept["root"], kept["keys"], kept["inbox"]) == ("", {}, None)
    assert root and root not in (device.folder / FILE_NAME).read_text()
    for late in (
        lambda: device.public_keys("s-1", 1),
        lambda: device.shares(parties.roster(0)),
        lambda: device.check(parties.inbox(0), 1),
    ):
        with pytest.raises(RefusedRequest, match="has ended"):
            late()


def test_a_share_that_cannot_be_read_is_left_out(parties: Parties) -> None:
    parties.to_shares()
    parties.ciphertexts[2][0] = parties.ciphertexts[2][1]  # meant for another
    for place in range(5):
        parties.hidden[place] = parties.devices[place].masked(parties.inbox(place), 1, NUMBERS[place], QUANTISATION)
    assert set(parties.devices[0].reveal(parties.ending(0))) == {0, 1, 3, 4}


def test_keys_come_from_the_seed_round_and_shop_or_from_entropy(tmp_path: Path) -> None:
    def keys(name: str, seed: int = 0, server_round: int = 1, shop: str = "a", seeded: bool = True) -> PublicKeys:
        settings = replace(SETTINGS, seeded_keys=seeded)
        return Participant(settings, shop, tmp_path / name, seed).public_keys(f"s-{name}", server_round)

    assert keys("one") == keys("two")
    assert len({keys("a"), keys("b", seed=1), keys("c", server_round=2), keys("d", shop="b")}) == 4
    assert len({keys("e", seeded=False), keys("f", seeded=False), keys("g")}) == 3


def test_a_neighbour_alone_reads_its_share(parties: Parties) -> None:
    parties.to_shares()
    assert set(parties.ciphertexts[0]) == {1, 2, 3, 4}
    assert len({len(each) for each in parties.ciphertexts[0].values()}) == 1
    assert len(set(parties.ciphertexts[0].values())) == 4
