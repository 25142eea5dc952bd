import numpy as np

from ecc_fed.core.records import PseudoLabel, Turn
from ecc_fed.evolution.experience import Experience, cycled, draw_examples
from tests.evolution.fakes import pair


def _label(name: str, reply: str) -> PseudoLabel:
    return PseudoLabel(name, (Turn("customer", name),), reply, "m", "low_score", 1)


def test_the_share_of_pseudo_labels_is_the_one_asked_for() -> None:
    experience = Experience(tuple(pair("a", f"n{i}") for i in range(5)), (_label("p", "cloud"),))
    for share in (0.0, 0.25, 1.0):
        drawn = draw_examples(experience, 40, share, np.random.default_rng(0))
        assert len(drawn) == 40
        assert sum(example.reply == "cloud" for example in drawn) == 40 * share


def test_every_item_is_seen_before_any_is_seen_again() -> None:
    experience = Experience(tuple(pair("a", f"n{i}") for i in range(7)))
    drawn = draw_examples(experience, 14, 0.3, np.random.default_rng(0))
    counts = [sum(e.prompt == p.prompt for e in drawn) for p in experience.natural]
    assert counts == [2] * 7


def test_an_empty_source_leaves_its_share_to_the_other() -> None:
    only_labels = Experience((), (_label("p", "cloud"),))
    assert len(draw_examples(only_labels, 4, 0.1, np.random.default_rng(0))) == 4
    assert draw_examples(Experience(), 4, 0.5, np.random.default_rng(0)) == ()


def test_a_newer_pseudo_label_takes_the_older_ones_place() -> None:
    experience = Experience((), (_label("p", "old"), _label("q", "kept")))
    grown = experience.grown((), (_label("p", "new"),))
    assert [label.reply for label in grown.pseudo_labels] == ["kept", "new"]


def test_draws_run_through_whole_permutations_of_the_generators() -> None:
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    expected = [*same.permutation(4).tolist(), *same.permutation(4).tolist()]
    assert cycled(4, 6, rng) == expected[:6]
    assert cycled(4, 4, np.random.default_rng(3)) == expected[:4]
    assert cycled(4, 0, np.random.default_rng(3)) == []


def test_a_draw_is_the_same_for_good() -> None:
    # Frozen: labels are drawn first, then natural pairs, then all are shuffled.
    experience = Experience(
        tuple(pair("a", f"n{i}") for i in range(5)), tuple(_label(f"p{i}", f"c{i}") for i in range(3))
    )
    rng = np.random.default_rng(7)
    labels, natural = cycled(3, 4, rng), cycled(5, 6, rng)
    drawn = [f"c{i}" for i in labels] + [f"q n{i}" for i in natural]
    expected = [drawn[i] for i in rng.permutation(10)]
    found = draw_examples(experience, 10, 0.4, np.random.default_rng(7))
    assert [e.reply if e.reply.startswith("c") else e.prompt[-1].text for e in found] == expected
    assert {e.reply for e in found if not e.reply.startswith("c")} == {"发圆通"}
    assert all(e.prompt[-1].text == f"p{e.reply[1]}" for e in found if e.reply.startswith("c"))


def test_a_share_is_rounded_to_whole_examples() -> None:
    experience = Experience((pair("a", "n"),), (_label("p", "cloud"),))
    for share, expected in ((0.24, 1), (0.26, 1), (0.4, 2), (0.5, 2)):  # of 4 and, at a half, to even
        drawn = draw_examples(experience, 4, share, np.random.default_rng(0))
        assert sum(example.reply == "cloud" for example in drawn) == expected, share
    assert draw_examples(experience, 0, 0.5, np.random.default_rng(0)) == ()
    assert len(draw_examples(Experience((pair("a", "n"),)), 3, 1.0, np.random.default_rng(0))) == 3


def test_growing_keeps_what_was_there_in_order() -> None:
    first, second = pair("a", "n1"), pair("a", "n2")
    grown = Experience((first,), (_label("p", "old"),)).grown((second,), (_label("q", "new"),))
    assert grown == Experience((first, second), (_label("p", "old"), _label("q", "new")))
    assert grown.grown((), ()) == grown
