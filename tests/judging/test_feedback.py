import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Fact, Feedback, Pair
from ecc_fed.judging.feedback import SimulatedFeedback, tone_fits

COURIER = Fact("courier", "courier", "shop", ("中通",), ("圆通", "申通"))


def _pair(number: int = 0, facts: tuple[Fact, ...] = (COURIER,), intent: str | None = "courier") -> Pair:
    return Pair(f"p{number}", "s", "shop", (), "发什么快递", "亲，我们发中通快递哦", intent=intent, facts=facts)


def _satisfied(pair: Pair, reply: str, **arguments: object) -> bool:
    verdict = SimulatedFeedback(noise=0.0, **arguments).feedback([pair], [reply], seed=0)[0]  # type: ignore[arg-type]
    assert verdict is not None
    return verdict.satisfied


def test_right_facts_satisfy_and_wrong_ones_do_not() -> None:
    assert _satisfied(_pair(), "我们用中通发货")
    assert not _satisfied(_pair(), "我们用圆通发货")
    assert not _satisfied(_pair(), "中通或者圆通")
    assert not _satisfied(_pair(), "请查看商品页面")


def test_tone_counts_too() -> None:
    assert not _satisfied(_pair(facts=()), "  ")
    assert _satisfied(_pair(facts=()), "不客气")
    assert not _satisfied(_pair(), "作为智能助手，中通", refused_phrases=("作为智能助手",))
    assert not _satisfied(_pair(), "中通" + "请您放心" * 30)
    assert tone_fits("好" * 20, "好", (), 4.0) and not tone_fits("好" * 21, "好", (), 4.0)


def test_no_ground_truth_no_verdict() -> None:
    feedback = SimulatedFeedback().feedback([_pair(facts=(), intent=None), _pair()], ["好的", "中通"], seed=0)
    assert feedback[0] is None and feedback[1] is not None and feedback[1].source == "simulated"


def test_noise_flips_its_share_and_never_depends_on_the_batch() -> None:
    pairs = [_pair(number) for number in range(2000)]
    noisy = SimulatedFeedback(noise=0.05)
    verdicts = noisy.feedback(pairs, ["中通"] * 2000, seed=3)
    share = sum(verdict == Feedback(satisfied=False) for verdict in verdicts) / 2000
    assert 0.03 < share < 0.07
    assert noisy.feedback(pairs[::-1], ["中通"] * 2000, seed=3) == verdicts[::-1]
    assert noisy.feedback(pairs, ["中通"] * 2000, seed=4) != verdicts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": 0.6}, "noise is 0.6"),
        ({"max_length_ratio": 0.0}, "max_length_ratio is 0.0"),
        ({"refused_phrases": ("",)}, "blank phrase"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SimulatedFeedback(**arguments)


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 and 0"):
        SimulatedFeedback().feedback([_pair()], [], seed=0)
