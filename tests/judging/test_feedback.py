import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Feedback, Pair
from ecc_fed.core.seeding import derive_rng
from ecc_fed.core.truth import Fact, Truth
from ecc_fed.judging.feedback import NoFeedback, SimulatedFeedback, tone_fits

COURIER = Fact("courier", "courier", "shop", ("中通",), ("圆通", "申通"))


TRUTH = Truth("courier", facts=(COURIER,))
NO_FACTS = Truth("thanks")


def _pair(number: int = 0) -> Pair:
    return Pair(f"p{number}", "s", "shop", (), "发什么快递", "亲，我们发中通快递哦")


def _satisfied(truth: Truth, reply: str, **arguments: object) -> bool:
    played = SimulatedFeedback(noise=0.0, **arguments)  # type: ignore[arg-type]
    verdict = played.feedback([_pair()], [truth], [reply], seed=0)[0]
    assert verdict is not None
    return verdict.satisfied


def test_right_facts_satisfy_and_wrong_ones_do_not() -> None:
    assert _satisfied(TRUTH, "我们用中通发货")
    assert not _satisfied(TRUTH, "我们用圆通发货")
    assert not _satisfied(TRUTH, "中通或者圆通")
    assert not _satisfied(TRUTH, "请查看商品页面")


def test_tone_counts_too() -> None:
    assert not _satisfied(NO_FACTS, "  ")
    assert _satisfied(NO_FACTS, "不客气")
    assert not _satisfied(TRUTH, "作为智能助手，中通", refused_phrases=("作为智能助手",))
    assert not _satisfied(TRUTH, "中通" + "请您放心" * 30)
    assert tone_fits("好" * 20, "好", (), 4.0) and not tone_fits("好" * 21, "好", (), 4.0)


def test_a_reply_may_be_as_long_as_the_ratio_says_and_no_longer() -> None:
    human = "七个字的人工答复" * 2  # 16 characters
    assert tone_fits("好" * 32, human, (), 2.0) and not tone_fits("好" * 33, human, (), 2.0)
    # White-space around either counts for nothing.
    assert tone_fits(f"  {'好' * 32}\n", f" {human} ", (), 2.0) and not tone_fits("好" * 33, f"{human}    ", (), 2.0)
    assert tone_fits("好" * 20, "", (), 0.1) and not tone_fits("好" * 21, human, (), 1.0)
    assert tone_fits("好的", human, ("抱歉", "人工智能"), 2.0)
    assert not tone_fits("抱歉好的", human, ("人工智能", "抱歉"), 2.0)


def test_a_verdict_needs_facts_or_an_intent_and_asks_for_all_facts() -> None:
    price = Fact("price", "price", "shop", ("9元",), ("8元",))
    both = Truth(facts=(COURIER, price))
    assert _satisfied(both, "中通，9元") and not _satisfied(both, "中通") and not _satisfied(both, "9元")
    assert _satisfied(NO_FACTS, "不客气")


def test_no_ground_truth_no_verdict() -> None:
    nothing = Truth(form_id="q1")
    pairs = [_pair(), _pair(), _pair()]
    feedback = SimulatedFeedback().feedback(pairs, [None, nothing, TRUTH], ["好的", "好的", "中通"], seed=0)
    assert feedback[:2] == [None, None] and feedback[2] is not None and feedback[2].source == "simulated"


def test_noise_flips_its_share_and_never_depends_on_the_batch() -> None:
    pairs, truths = [_pair(number) for number in range(2000)], [TRUTH] * 2000
    noisy = SimulatedFeedback(noise=0.05)
    verdicts = noisy.feedback(pairs, truths, ["中通"] * 2000, seed=3)
    share = sum(verdict == Feedback(satisfied=False) for verdict in verdicts) / 2000
    assert 0.03 < share < 0.07
    assert noisy.feedback(pairs[::-1], truths, ["中通"] * 2000, seed=3) == verdicts[::-1]
    assert noisy.feedback(pairs, truths, ["中通"] * 2000, seed=4) != verdicts
    # Frozen: one draw of the pair's own stream flips the verdict, whatever it was.
    flipped = [bool(derive_rng(3, "feedback", pair.pair_id).random() < 0.05) for pair in pairs]
    assert verdicts == [Feedback(satisfied=not flip) for flip in flipped]
    assert noisy.feedback(pairs, truths, ["圆通"] * 2000, seed=3) == [Feedback(satisfied=flip) for flip in flipped]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": 0.6}, r"^feedback\.noise=0\.6 is out of range: a number from 0 to 0\.5\.$"),
        ({"noise": -0.1}, "noise=-0.1 is out of range"),
        ({"noise": float("nan")}, "noise=nan is out of range"),
        ({"max_length_ratio": 0.0}, r"^feedback\.max_length_ratio=0\.0 is out of range: above 0\.$"),
        ({"max_length_ratio": float("nan")}, "max_length_ratio=nan is out of range"),
        (
            {"refused_phrases": ("抱歉", " ")},
            r"^feedback refused_phrases holds a blank phrase, which would refuse every",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SimulatedFeedback(**arguments)


def test_the_defaults_and_the_ends_of_the_ranges() -> None:
    plain = SimulatedFeedback()
    assert (plain.noise, plain.refused_phrases, plain.max_length_ratio) == (0.05, (), 4.0)
    assert [SimulatedFeedback(noise).noise for noise in (0.0, 0.5)] == [0.0, 0.5]
    assert SimulatedFeedback(max_length_ratio=0.5).max_length_ratio == 0.5


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 pairs, 1 truths, 0 replies"):
        SimulatedFeedback().feedback([_pair()], [TRUTH], [], seed=0)
    with pytest.raises(ValueError, match="got 1 pairs, 0 truths, 1 replies"):
        SimulatedFeedback().feedback([_pair()], [], ["中通"], seed=0)


def test_customers_who_say_nothing() -> None:
    assert NoFeedback().feedback([_pair(0), _pair(1)], [TRUTH, None], ["我们用中通发货", ""], 0) == [None, None]
