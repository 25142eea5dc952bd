"""What redaction took out of a reply, guessed back by whoever has the redacted text and a model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from ecc_fed.core.protocols import EndModel
from ecc_fed.core.records import Example, Likelihood, LikelihoodRequest, Shop, Turn
from ecc_fed.core.rows import AttackRow
from ecc_fed.core.truth import Canary, PrivateValue, Truth
from ecc_fed.evolution.shop_state import ShopState
from ecc_fed.runs.attacking.reconstruction import CANDIDATES, reconstruction_rows
from ecc_fed.runs.attacking.victims import Victim
from tests.evolution.fakes import pair

PHONE = "13812345678"
OTHERS = [f"139{number:08d}" for number in range(50)]


class Model:
    """A model whose opinion of a text is a function of it; remembers what it was shown."""

    def __init__(self, nats: Callable[[Example], float]) -> None:
        self.nats, self.seen = nats, list[Example]()

    def likelihood(self, requests: Sequence[LikelihoodRequest]) -> list[list[Likelihood]]:
        self.seen += requests[0].examples
        return [[Likelihood(self.nats(each), 10, 10) for each in requests[0].examples]]


def victim(truth: Truth | None = None) -> Victim:
    said = replace(pair("a", "h0"), query=f"我的电话是{PHONE}，改一下", reply=f"好的，电话{PHONE}改好了")
    told = truth or Truth(private_values=(PrivateValue("phone", PHONE, ("query", "reply")),))
    others = Truth(private_values=tuple(PrivateValue("phone", other, ("query",)) for other in OTHERS))
    state = ShopState("a", 1, {}, natural_ids=(said.pair_id,))
    other = Shop("b", (pair("b", "o0"),), (), ())
    return Victim(Shop("a", (said,), (), ()), {said.pair_id: told}, state, {}, other, {"b/o0": others})


def rows(model: Model, of: Victim) -> list[AttackRow]:
    return list(reconstruction_rows("device", of, None, cast(EndModel, model), 0))


def test_a_model_that_remembers_the_value_gives_all_bits_and_one_that_does_not_about_one() -> None:
    knowing = Model(lambda text: 0.0 if PHONE in text.reply else 9.0)
    (row,) = rows(knowing, victim())
    assert (row.attack, row.kind, row.score, row.most) == ("reconstruction", "phone", 5.0, 5.0)
    assert len(knowing.seen) == CANDIDATES and sum(PHONE in text.reply for text in knowing.seen) == 1
    assert len({text.reply for text in knowing.seen}) == CANDIDATES
    shown: list[tuple[Turn, ...]] = [text.prompt for text in knowing.seen]
    assert not any(PHONE in turn.text for prompt in shown for turn in prompt), "the prompt stays redacted"
    assert all("[电话1]" in prompt[-1].text for prompt in shown)
    assert rows(Model(lambda _: 5.0), victim())[0].score == pytest.approx(0.96, abs=0.01)
    assert rows(Model(lambda text: 0.0 if PHONE in text.reply else -9.0), victim())[0].score == 0.0


@pytest.mark.parametrize(
    "truth",
    [
        Truth(),
        # What the dialogue is not known to hold is nobody's value.
        Truth(private_values=(PrivateValue("phone", "13700000000", ("reply",)),)),
        Truth(private_values=(PrivateValue("phone", PHONE, ("reply",)),), canary=Canary(PHONE, 1, "reply")),
    ],
)
def test_other_texts_are_not_guessed_at(truth: Truth) -> None:
    assert rows(Model(lambda _: 1.0), victim(truth)) == []


def test_a_kind_with_too_few_values_is_left_out() -> None:
    of = victim()
    few: dict[str, Any] = {"b/o0": Truth(private_values=(PrivateValue("phone", OTHERS[0], ("query",)),))}
    assert rows(Model(lambda _: 1.0), replace(of, other_truth=few)) == []


def test_candidates_are_of_the_seed() -> None:
    drawn = []
    for seed in (0, 0, 1):
        model = Model(lambda _: 1.0)
        list(reconstruction_rows("device", victim(), None, cast(EndModel, model), seed))
        drawn.append([text.reply for text in model.seen])
    assert drawn[0] == drawn[1] != drawn[2]
