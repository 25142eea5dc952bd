import numpy as np

from ecc_fed.core.records import PseudoLabel, Turn
from ecc_fed.evolution.experience import Experience, draw_examples
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
