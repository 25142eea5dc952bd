from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecc_fed.corpus.cleaning import courtesy
from ecc_fed.corpus.cleaning.courtesy import courtesy_kind, is_address
from ecc_fed.corpus.cleaning.notices import NoticeRules

LINES = {
    "greeting": [
        "您好",
        "亲，在的呢",
        "您好，小妹在的哦，很高兴为您服务",
        "欢迎光临，请问有什么能帮到您的吗",
        "我们就是为您服务的",
    ],
    "holding": [
        "请稍等",
        "请稍候",
        "好的，请您稍等[数字x]-[数字x]分钟哦",
        "[订单x]还请您稍等，正在为您查询",
        "我看一下",
        "妹子这就去帮您核实一下",
        "等等哈",
        "请您喝点水，稍作休息，不要离开",
        "正在为您查询，现在咨询的人比较多，还请您谅解",
    ],
    "courtesy": [
        "不客气的哦",
        "您客气了，这是我们应该为您做的",
        "没事的，您客气了",
        "非常感谢您的理解与支持",
        "晚安，祝您身体健康，万事如意",
    ],
    "closing": [
        "有问题欢迎随时联系我们哦",
        "期待下次为您服务",
        "那就不打扰您了",
        "您有问题可以继续反馈哦",
        "如果还有疑问随时可以咨询小妹",
    ],
}
ANSWERS = [
    "请稍等，您的包裹明天到",
    "您好，已经为您退款",
    "好的",
    "是的呢",
    "可以的",
    "请您核实一下订单信息",
    "您看一下物流信息",
    "小妹帮您查询到了",
    "帮您查询了",
    "帮您取消订单了",
    "还请您耐心等待",
    "麻烦您提供一下订单号，谢谢",
    "您可以随时联系快递员",
    "不在的哦",
    "不好的地方可以退货",
]


@pytest.mark.parametrize(("kind", "line"), [(kind, line) for kind, lines in LINES.items() for line in lines])
def test_lines_that_fit_any_dialogue_have_a_kind(kind, line):
    assert courtesy_kind(line) == kind
    assert courtesy.suspects(f"明天到。 {line}")


@pytest.mark.parametrize("line", ANSWERS)
def test_lines_with_a_matter_of_their_own_have_none(line):
    assert courtesy_kind(line) is None


@pytest.mark.parametrize("line", [line for lines in LINES.values() for line in lines])
@pytest.mark.parametrize("matter", ["退货", "包邮", "[时间x]", "没有货"])
def test_one_word_of_a_matter_keeps_the_line(line, matter):
    assert courtesy_kind(matter + line) is None


WORDS = st.sampled_from(
    ["您", "好", "请", "稍等", "帮您", "查询", "谢谢", "随时", "联系", "我", "，", "12", "[数字x]", "退货", "~", " "]
)


@given(st.lists(WORDS, max_size=8).map("".join))
def test_the_quick_look_misses_nothing(text):
    rules, edits = NoticeRules(), Counter()
    rest = rules.cut(text, True, edits)
    assert rules.suspects(text, True) or (rest == text and not edits)
    assert "退货" not in text or "退货" in rest


def test_only_agents_are_courteous_by_script():
    rules, edits = NoticeRules(), Counter()
    for text in ("您好", "稍等", "谢谢", "再次联系我"):
        assert rules.cut(text, False, edits) == text
    assert not edits


def test_an_address_goes_with_the_line_that_it_leads_into_and_an_answer_does_not():
    rules = NoticeRules()
    assert rules.cut("明天到货的， 谢谢您的支持", True, Counter()) == "明天到货的，"
    assert rules.cut("明天到货的 亲爱的， 请稍等", True, Counter()) == "明天到货的"
    assert rules.cut("亲爱的 请稍等~ 亲", True, Counter()) == ""
    assert rules.cut("亲爱的 明天到货", True, Counter()) == "亲爱的 明天到货"
    assert is_address("亲爱的~") and is_address("，") and not is_address("亲爱的，好的")
