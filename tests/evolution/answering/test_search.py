"""Which own examples are nearest, by characters and by vectors."""

from collections.abc import Sequence

import numpy as np
import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Asked, OwnExample, Turn
from ecc_fed.evolution.answering.search import Search


def example(name: str, query: str, reply: str, context: tuple[Turn, ...] = ()) -> OwnExample:
    return OwnExample(name, (*context, Turn("customer", query)), reply)


def asked(query: str, leave_out: str | None = None) -> Asked:
    return Asked((Turn("customer", query),), leave_out)


KNOWN = (
    example("a", "发什么快递", "圆通哦"),
    example("b", "什么时候发货", "今天发"),
    example("c", "多少钱一斤", "九块九"),
    example("d", "发什么快递呀", "申通哦"),
)


def names(found: Sequence[Sequence[OwnExample]]) -> list[list[str]]:
    return [[each.pair_id for each in near] for near in found]


def test_the_nearest_stands_last() -> None:
    found = Search("question").nearest([asked("发什么快递"), asked("一斤多少")], KNOWN, 2)
    assert names(found)[0] == ["d", "a"]
    assert names(found)[1][-1] == "c"


def test_of_equally_near_ones_the_later_wins() -> None:
    twice = (*KNOWN, example("e", "发什么快递", "韵达哦"))
    assert names(Search("question").nearest([asked("发什么快递")], twice, 1)) == [["e"]]


def test_what_is_left_out_is_never_found_under_whatever_name_it_stands_twice() -> None:
    twice = (*KNOWN, example("a", "发什么快递", "cloud"))
    found = Search("question").nearest([asked("发什么快递", "a")], twice, 9)
    assert names(found) == [["c", "b", "d"]] or set(names(found)[0]) == {"b", "c", "d"}
    assert names(found)[0][-1] == "d"


def test_answers_are_matched_too_unless_questions_alone_are_wanted() -> None:
    query = [asked("圆通")]
    assert names(Search("question_and_answer").nearest(query, KNOWN, 1)) == [["a"]]
    assert names(Search("question").nearest(query, KNOWN, 1)) == [["d"]], "nothing is near: the latest of equals"


def test_a_context_plays_no_part() -> None:
    said = (Turn("customer", "多少钱一斤"), Turn("agent", "九块九"))
    with_context = [*KNOWN[:2], example("c", "好的", "嗯", said)]
    plain = [*KNOWN[:2], example("c", "好的", "嗯")]
    for query in ("多少钱一斤", "好的"):
        found = [names(Search().nearest([Asked((*before, Turn("customer", query)))], known, 3))
                 for before in ((), said) for known in (with_context, plain)]  # fmt: skip
        assert found == [found[0]] * 4


def test_without_examples_or_questions_nothing_is_found() -> None:
    assert Search().nearest([asked("x"), asked("y")], (), 3) == [[], []]
    assert Search().nearest([], KNOWN, 3) == []


class Lengths:
    """Texts of like length point the same way."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        angles = np.array([len(text) / 10 for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_an_encoders_vectors_take_the_place_of_characters() -> None:
    encoder = Lengths()
    found = Search("question", encoder).nearest([asked("xxxxxx"), asked("yyyyy")], KNOWN, 1)
    assert names(found) == [["d"], ["c"]]  # six characters, and the later of those with five
    assert encoder.texts == [*(each.query for each in KNOWN), "xxxxxx", "yyyyy"]
    assert names(Search("question_and_answer", Lengths()).nearest([asked("x" * 10)], KNOWN, 1)) == [["d"]]


def test_wrong_settings_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"answering\.match=answer"):
        Search("answer")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"answering\.encoder=cosine has no vectors of texts"):
        Search("question", "cosine")  # type: ignore[arg-type]
