"""Masks by counter."""

import pytest
import torch

from ecc_fed.end_model.engines.shared.counted_masks import LANES, STRIDE, MaskKey, kept, philox


# Known answers of Philox 4x32-10, published with Random123 by its authors (Salmon et al. 2011).
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_words_are_those_published(counter, key, expected):
    words = philox(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))
    assert tuple(int(word) for word in words) == expected


def key_of(seed, number, site=3, step=2, threshold=32768):
    return MaskKey(torch.tensor([seed]), torch.tensor([number], dtype=torch.int32), site, step, threshold)


def test_every_element_has_draws_of_its_own():
    """Lane by lane and tile by tile: an element's draw is a half of the word that its place names."""
    seed, width = (7 << 40) + 5, 2 * STRIDE * LANES + 3
    (mask,) = kept(key_of(seed, 9), width)
    for column in (0, 1, STRIDE, 5 * STRIDE + 7, STRIDE * LANES, STRIDE * LANES + 3 * STRIDE + 1, width - 1):
        tile, within = divmod(column, STRIDE * LANES)
        lane, place = divmod(within, STRIDE)
        counter = tuple(map(torch.tensor, (tile * STRIDE + place, 9, 3, 2)))
        word = int(philox(counter, (torch.tensor(seed & 0xFFFFFFFF), torch.tensor(seed >> 32)))[lane // 2])
        assert bool(mask[column]) == ((word >> 16 if lane % 2 else word & 0xFFFF) >= 32768)


def test_a_width_or_a_row_more_changes_no_other_draw():
    wide, narrow = kept(key_of(4, 1), 3000), kept(key_of(4, 1), 700)
    assert torch.equal(wide[:, :700], narrow)
    two = MaskKey(torch.tensor([4, 4]), torch.tensor([0, 1], dtype=torch.int32), 3, 2, 32768)
    assert torch.equal(kept(two, 700)[1:], narrow)


def test_nothing_is_dropped_at_0_and_everything_at_65536():
    assert kept(key_of(4, 1, threshold=0), 300).all() and not kept(key_of(4, 1, threshold=65536), 300).any()
