"""The graph of neighbours by its properties, and its derived degree against tails summed term by term."""

from fractions import Fraction

import numpy as np
import pytest

from ecc_fed.privacy.secure_aggregation.graph import derived_neighbours, neighbourhoods


@pytest.mark.parametrize(("count", "degree"), [(5, 2), (9, 4), (10, 8), (64, 16), (100, 64)])
def test_every_place_has_as_many_neighbours_and_is_theirs(count: int, degree: int) -> None:
    found = neighbourhoods(count, degree, np.random.default_rng(3))
    assert [len(set(each)) for each in found] == [degree] * count
    assert all(place in found[other] and place != other for place, each in enumerate(found) for other in each)
    assert all(list(each) == sorted(each) for each in found)


def test_the_graph_is_one_piece_and_drawn() -> None:
    found = neighbourhoods(50, 2, np.random.default_rng(1))
    reached, edge = {0}, [0]
    while edge:
        edge = [other for place in edge for other in found[place] if other not in reached]
        reached |= set(edge)
    assert len(reached) == 50
    assert found != neighbourhoods(50, 2, np.random.default_rng(2))
    assert found == neighbourhoods(50, 2, np.random.default_rng(1))
    assert found != [tuple(sorted(((place - 1) % 50, (place + 1) % 50))) for place in range(50)]  # not by place


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_all_are_neighbours_of_a_few(count: int) -> None:
    assert neighbourhoods(count, count - 1, np.random.default_rng(0)) == [
        tuple(other for other in range(count) if other != place) for place in range(count)
    ]


def tail(count: int, degree: int, needed: int) -> Fraction:
    """P(at least `needed` colluders among `degree` of the others), drawn one after another: no binomials."""
    others, colluders = count - 1, count // 5
    chances = {0: Fraction(1)}
    for drawn in range(degree):
        later: dict[int, Fraction] = {}
        for held, chance in chances.items():
            hit = Fraction(colluders - held, others - drawn)
            for more, share in ((1, hit), (0, 1 - hit)):
                if share:
                    later[held + more] = later.get(held + more, Fraction(0)) + chance * share
        chances = later
    return sum((chance for held, chance in chances.items() if held >= needed), Fraction(0))


def test_the_derived_degree_is_the_least_that_is_safe() -> None:
    assert [derived_neighbours(count, 0.66) for count in (1, 2, 65)] == [0, 1, 64]
    for count, threshold in ((150, 0.51), (256, 0.55), (1000, 0.66)):
        degree = derived_neighbours(count, threshold)
        assert degree % 2 == 0 or degree == count - 1
        assert 64 <= degree < count

        def risk(degree: int, count: int = count, threshold: float = threshold) -> Fraction:
            needed = -(-Fraction(str(threshold)) * (degree + 1) // 1)
            return count * tail(count, degree, int(needed))

        assert degree == count - 1 or risk(degree) <= Fraction(1, 2**40)
        if degree > 64:
            assert risk(degree - 2) > Fraction(1, 2**40)
