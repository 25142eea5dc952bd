"""When what a shop has finished counts, and when it is done again with those beside it."""

from pathlib import Path

import pytest

from ecc_fed.evolution.batch import Batch, batch_of
from ecc_fed.evolution.device import ShopDevices
from tests.evolution.fakes import services, settings, shop
from tests.evolution.test_device import device

NAMES = ("a", "b", "c")


def shops_in(root: Path) -> ShopDevices:
    return device(root, [shop(name) for name in NAMES], services(), settings())


def folders(root: Path) -> dict[str, Path]:
    return {name: root / "shops" / name for name in NAMES}


def work(shops: ShopDevices, batch: str, phase: str, saved: str) -> None:
    """The shops of `batch` begin side by side, and those of `saved` come to their end."""
    shops.side_by_side(tuple(batch), phase, 1)
    for name in saved:
        if phase == "train":
            shops.train(name, 1, None)
        else:
            shops.evaluate(name, 1, None, phase)  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", ["train", "base", "final"])
@pytest.mark.parametrize(
    ("saved", "asked", "again"),
    [
        ("", "abc", ""),
        ("a", "abc", "a"),
        ("ac", "abc", "ac"),
        ("abc", "abc", ""),
        # They would meet others than before.
        ("ac", "ab", ""),
        ("ac", "bca", ""),
    ],
)
def test_a_batch_is_done_again_where_some_of_it_were_saved_and_all_are_there(
    tmp_path: Path, phase: str, saved: str, asked: str, again: str
) -> None:
    work(shops_in(tmp_path), "abc", phase, saved)
    assert batch_of(tuple(asked), folders(tmp_path), phase, 1) == Batch(tuple(asked), frozenset(again))
    assert batch_of(tuple(asked), folders(tmp_path), phase, 2) == Batch(tuple(asked))


def test_a_shop_that_worked_alone_is_done_with_its_work(tmp_path: Path) -> None:
    shops = shops_in(tmp_path)
    for name in "ab":
        shops.train(name, 1, None)
    assert batch_of(NAMES, folders(tmp_path), "train", 1).again == frozenset()


def test_a_damaged_state_keeps_the_others_as_they_are_or_tells_of_itself(tmp_path: Path) -> None:
    work(shops_in(tmp_path), "abc", "train", "abc")
    (tmp_path / "shops" / "a" / "round_0001" / "state.json").write_text("{")
    assert batch_of(NAMES, folders(tmp_path), "train", 1).again == frozenset()
