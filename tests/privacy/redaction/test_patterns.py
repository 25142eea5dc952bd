"""What nobody told of: checksums, cues, shapes, and any seven digits; and what is none of it."""

import random

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Turn
from ecc_fed.privacy.redaction.checksums import is_id_card, passes_luhn
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction, PatternRedaction

from .texts import by_patterns, sent, taken


@pytest.mark.parametrize(
    ("number", "good"),
    [
        ("11010519491231002X", True),  # the example of GB 11643-1999
        ("11010519491231002x", True),
        ("110105194912310021", False),
        ("440524188001010014", True),
        ("110105194913310021", False),  # a thirteenth month, and the check character of such a number
        ("11010519491231002", False),
        ("1101051949123１002X", False),
    ],
)
def test_identity_cards_prove_themselves(number, good):
    assert is_id_card(number) is good


@pytest.mark.parametrize(
    ("number", "good"),
    [
        ("4111111111111111", True),
        ("5500005555555559", True),
        ("4111111111111112", False),
        ("6222021234567890128", True),
        ("411111", False),
    ],
)
def test_cards_prove_themselves(number, good):
    assert passes_luhn(number) is good


def test_one_wrong_digit_is_always_seen():
    for place in range(16):
        for digit in "0123456789":
            changed = "4111111111111111"[:place] + digit + "4111111111111111"[place + 1 :]
            assert passes_luhn(changed) is (changed == "4111111111111111")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我电话13900002222，一直打不通", "我电话[电话1]，一直打不通"),
        ("一三九零零零零二二二二", "[电话1]"),
        ("+8613900002222", "+[电话1]"),
        ("13900002222,13800001111", "[电话1],[电话2]"),
        ("0571-88886666", "[电话1]"),
        ("400-820-8820", "[电话1]"),
        ("l39OOOO2222", "[电话1]"),
        ("身份证11010519491231002X", "身份证[身份证1]"),
        ("110105 19491231 002x这是我的", "[身份证1]这是我的"),
        ("卡号6222 0212 3456 7890 128", "卡号[银行卡1]"),
        ("退到4111111111111111", "退到[银行卡1]"),
        ("快递单号YT1234567890123", "快递单号[快递单号1]"),
        ("S F 1 2 3 4 5 6 7 8 9 0 1 2在哪", "[快递单号1]在哪"),
        ("SF一二三四五六七八九零一二", "[快递单号1]"),
        ("订单号A12345", "订单号[订单号1]"),
        ("订单 12345", "订单 [订单号1]"),
        ("7654321", "[数字1]"),
        ("微信号是xiaoming_88", "微信号是[账号1]"),
        ("xiaoming_88是我微信", "[账号1]是我微信"),
        ("我的qq 12345678", "我的qq [账号1]"),
        ("发到 foo.bar@qq.com 谢谢", "发到 [邮箱1] 谢谢"),
        ("ｆｏｏ＠ｑｑ．ｃｏｍ", "[邮箱1]"),
        ("foo.bar @ qq.com", "[邮箱1]"),
        ("收货人王伟，查一下", "收货人[姓名1]，查一下"),
        ("我叫李志强，帮我查订单", "我叫[姓名1]，帮我查订单"),
        ("收件人改成欧阳娜娜", "收件人改成[姓名1]"),
        ("姓名：买买提·艾力", "姓名：[姓名1]"),
        ("用张敏的名字下的单", "用[姓名1]的名字下的单"),
        ("收货人王伟。王伟在家吗", "收货人[姓名1]。[姓名1]在家吗"),
        (
            "改地址北京市朝阳区人民路12号阳光花园3栋1201室李芳13800001111",
            "改地址[地址1][姓名1][电话1]",
        ),
        ("麻烦寄到成都市武侯区桂溪路8号", "麻烦寄到[地址1]"),
        ("配送员：王伟，电话13900002222", "配送员：[姓名1]，电话[电话1]"),
        ("快递员王伟电话多少", "快递员[姓名1]电话多少"),
        ("派送小哥叫欧阳娜娜。", "派送小哥叫[姓名1]。"),
        ("司机 王伟 13900002222", "司机 [姓名1] [电话1]"),
        ("我姓王，王者荣耀的", "我姓[姓名1]，王者荣耀的"),
        ("姓陈的客户", "姓[姓名1]的客户"),
        ("他姓王伟 谢谢", "他姓[姓名1] 谢谢"),
        ("打王伟电话吧", "打[姓名1]电话吧"),
        ("致电李芳的手机", "致电[姓名1]的手机"),
        ("电子发票的时候打王小伟那这样", "电子发票的时候打[姓名1]那这样"),
        ("王伟  : 13900002222", "[姓名1]  : [电话1]"),
        ("西安市莲湖区万科金色悦城", "[地址1]"),
        ("邮箱wang.zhiqiang_1988.shop@qq.com", "邮箱[邮箱1]"),
        ("我qq是12345", "我qq是[账号1]"),
        ("寄给王伟吧", "寄给[姓名1]吧"),
        ("转给李芳。", "转给[姓名1]。"),
        ("windows1234567", "windows[数字1]"),
        ("XY98765", "[快递单号1]"),
        ("1 2 3 4 5 6 7", "[数字1]"),
        ("快递 123 4567 89", "快递 [快递单号1]"),
        ("SF1234567890123一直没动", "[快递单号1]一直没动"),
        ("一13900002222", "一[电话1]"),
        ("微信13900002222，电话13900002222", "微信[账号1]，电话[账号1]"),
    ],
)
def test_what_is_found_in_chinese(text, expected):
    assert sent(by_patterns(text)) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My name is John Smith, order no 12345678", "My name is [name1], order no [order1]"),
        ("my name is john smith and I wait", "my name is [name1] and I wait"),
        ("Mr. J. Smith", "Mr. J. Smith"),
        ("Call me at (555) 123-4567", "Call me at ([phone1]"),
        ("+44 7700 900123", "+[phone1]"),
        ("tracking number 1Z999AA10123456784", "tracking number [parcel1]"),
        (
            "deliver to Mary J. Watson at 12 Main Street, Apt 4, Springfield, IL 62704",
            "deliver to [name1] at [address1]",
        ),
        ("email: a.b@c.co.uk", "email: [email1]"),
        ("555 123 4567", "[phone1]"),
        ("Order #A-12345", "Order #[order1]"),
        ("my wechat is blue_fox9", "my wechat is [account1]"),
        ("I'm looking for 2 shirts, size 12, on 2024-01-02", "I'm looking for 2 shirts, size 12, on 2024-01-02"),
        ("$1,299.00 for 24 pairs", "$1,299.00 for 24 pairs"),
    ],
)
def test_what_is_found_in_english(text, expected):
    assert sent(by_patterns(text, language="en")) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-12发货",
        "2024-05-12 18点",
        "2024.5.12 18:00",
        "订单2024-05-12下的",
        "身高160 165 170都有",
        "满300减30",
        "价格12999.00元",
        "一下子买了三五件",
        "买了123456个",
        "99元",
        "今天都八号了",
        "高兴的时候联系我",
        "快递员马上到，快递员关机，电话打不通",
        "快递员和我联系了",
        "送货师傅单独送吗",
        "安装师傅电话多少",
        "快递员是应该送到的",
        "您贵姓，姓名填什么，老百姓",
        "姓什么都行",
        "打家里电话，联系方便电话吗",
        "打安装电话",
        "发票打印服务",
        "发票要打单位的，发票打明细吧",
        "名字和电话都要吗",
        "订单1999元",
        "[数字x]和[电话x]",
    ],
)
def test_what_is_nothing_private_stays(text):
    assert sent(by_patterns(text)) == [text]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["我电话139", "0000", "2222哈"], ["我电话[电话1]", "[电话1]", "[电话1]哈"]),
        (["13900", "002222"], ["[电话1]", "[电话1]"]),
        (["身份证110105", "194912", "31002X"], ["身份证[身份证1]", "[身份证1]", "[身份证1]"]),
        (["电话13900002222", "2件"], ["电话[电话1]", "2件"]),
        (["单号12345", "67890"], ["单号[订单号1]", "[订单号1]"]),
        (["6222", "0212", "3456", "7890", "128"], ["[银行卡1]"] * 5),
        (["8007849222116869", "考虑一下"], ["[数字1]", "考虑一下"]),
        (["编号162310", "7423301239639062"], ["编号162310", "[数字1]"]),
        (["编号108878", "一直没货"], ["编号108878", "一直没货"]),
        (["99元", "199元呢", "299呢"], ["99元", "199元呢", "299呢"]),
        (["13900好的好的", "002222"], ["13900好的好的", "002222"]),
        (["62220212345", "67890128"], ["[数字1]", "[数字2]"]),
        (["1", "3900002222"], ["1", "[数字1]"]),
        (["编号12", "345", "6789"], ["编号12", "345", "6789"]),
    ],
)
def test_numbers_that_are_split_over_turns(texts, expected):
    assert sent(by_patterns(*texts)) == expected


def test_a_split_identity_card_comes_back_whole():
    assert by_patterns("身份证110105", "19491231002X").restore("[身份证1]").text == "11010519491231002X"


def test_the_other_sides_turns_do_not_part_a_number_and_do_not_join_one():
    split = [Turn("customer", "我电话139"), Turn("agent", "嗯"), Turn("customer", "00002222")]
    assert sent(PatternRedaction().redact(split, None)) == ["我电话[电话1]", "嗯", "[电话1]"]
    two = [Turn("customer", "139"), Turn("agent", "00002222")]
    assert sent(PatternRedaction().redact(two, None)) == ["139", "[数字1]"]


def test_a_name_that_was_announced_is_found_again_in_every_turn_and_over_two():
    session = by_patterns("My name is John Smith", "john smith here", "it is John", "Smith again", language="en")
    assert sent(session) == ["My name is [name1]", "[name1] here", "it is [name1]", "[name1] again"]
    assert session.restore("Hi [name1]").text == "Hi John Smith"
    assert sent(by_patterns("我叫王伟", "王 伟在吗", "身高，伟大")) == ["我叫[姓名1]", "[姓名1]在吗", "身高，伟大"]
    longer = by_patterns("我叫王伟，名字王伟明", "王伟明在吗")
    assert sent(longer) == ["我叫[姓名1]，名字[姓名2]", "[姓名2]在吗"]


def test_any_seven_digits_are_taken():
    rng = random.Random(0)
    for _ in range(500):
        count = rng.randint(7, 30)
        digits = "".join(rng.choice("0123456789") for _ in range(count))
        (turn,) = by_patterns(f"这{digits}呢").turns
        assert not any(sign.isdigit() for sign in turn.text.replace("1]", "]")), (digits, turn)


def test_the_kind_is_what_the_nearest_cue_says():
    session = by_patterns("订单2345678901，快递3456789012，电话4567890123，扣款卡号5678901234")
    assert [kind for kind, _ in taken(session)] == ["order", "parcel", "phone", "bank_card"]


@pytest.mark.parametrize("redaction", [PatternRedaction, OrderRecordRedaction])
def test_another_language_is_refused(redaction):
    with pytest.raises(ConfigError, match=r"redaction\.language.*zh.*en"):
        redaction("fr")
