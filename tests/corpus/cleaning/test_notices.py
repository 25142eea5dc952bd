from collections import Counter

import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.cleaning.notices import NoticeRules
from ecc_fed.corpus.cleaning.sessions import clean_characters

RULES = NoticeRules()

AGENT_NOTICES = {
    "opening": [
        "有什么问题我可以帮您处理或解决呢?",
        "您好，请问有什么可以帮您",
        "请问您是咨询之前的问题还是有其他的问题需要处理呢?",
        "亲，请问您是咨询之前的问题，还是有新的问题呢?",
    ],
    "closing": [
        "请问还有其他还可以帮到您的吗?",
        "感谢您对本店的支持，祝您生活愉快，再见!",
        "您太客气了呢，这都是我应该做的呢~",
        "亲亲您看还有什么可以为您效劳的吗",
        "您好，请问您的问题是否解决了呢?",
        "请问还有可以为您服务的吗?",
        "我也很高兴能帮您这么好的人解决问题",
        "亲爱的商家，以后您的包裹问题可以在商家后台—右上角图标找到我们哦，感谢您的支持，祝您生意兴隆!",
        "预祝您和家人平平安安，心情愉快，感谢您一直以来的支持!",
        "亲亲，感谢您对本店的支持",
    ],
    "evaluation_request": [
        "还辛苦您给小妹打个评价呢~",
        "点击表情栏旁边的“+”哦。",
        "麻烦对我的服务做出评价",
        "有个小请求可以吗?",
        "您可以给个评价吗",
        "麻烦您在聊天框右边的“+”",
        "嗯嗯，还请给个评价(左边为不满意)，如果您还有问题可以随时提问哦，我一直都在",
        "里面的“满意度”对我的服务做出评价哦，妹子在此也祝您天天开心，事事顺利",
    ],
    "robot_notice": ["您好，我是智能客服小助手，很高兴为您服务", "您好，9号客服小草莓为您服务!"],
    "transfer_notice": [
        "正在为您转接人工客服",
        "由于您长时间没有回复，本次会话将关闭",
        "抱歉没有收到您的回复，先为您关闭窗口了",
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in AGENT_NOTICES.items() for text in texts])
def test_notices_of_agents_go_under_their_name(name, text):
    edits = Counter()
    assert RULES.suspects(text, True)
    assert RULES.cut(text, True, edits) == ""
    assert edits == {name: 1}


@pytest.mark.parametrize(
    "text",
    [
        "帮您查询一下这个商品评价很高哦，肯定也是您挑选过的",
        "商品评价要在收货后7天内写，逾期不能追评，不满意可以退",
        "以后您的包裹改发中通",
        "可以的 亲 下单后帮您备注",
        "您好，点击“订单”后，选择一下您需要咨询的订单哦",
        "请点击对话框右下角的“订单”后选择订单",
        "这边建议您联系配送员",
    ],
)
def test_answers_of_agents_stay(text):
    edits = Counter()
    assert RULES.cut(text, True, edits) == text
    assert not edits


def test_customers_may_write_of_evaluations_and_say_goodbye():
    for text in ("我看评价说是翻新机", "感谢您的帮助", "再见", "还有什么优惠需要领吗"):
        assert RULES.cut(text, False, Counter()) == text


@pytest.mark.parametrize(
    "entry",
    [
        "京东快递(移动端)",
        "配送咨询",
        "返修退换货咨询",
        "之前的问题",
        "请选择您要咨询的业务类型",
        "我还未购买",
        "意见与建议反馈",
    ],
)
def test_menu_entries_of_customers_go_and_their_words_stay(entry):
    edits = Counter()
    assert RULES.suspects(entry, False)
    assert RULES.cut(f"{entry} 请问怎么办?", False, edits) == "请问怎么办?"
    assert edits == {"menu_entry": 1}
    assert RULES.cut(entry, True, Counter()) == entry


@pytest.mark.parametrize(
    "text", ["我想要咨询", "怎么咨询", "我已经购买了保险", "之前的问题解决了吗", "手机(移动的)可以用吗"]
)
def test_customers_own_words_are_no_menu_entries(text):
    assert RULES.cut(text, False, Counter()) == text


def test_a_notice_is_cut_out_of_its_turn():
    edits = Counter()
    text = "好的呢，明天发货。 请问还有其他还可以帮到您的吗? 感谢您对京东的支持，祝您生活愉快，再见!"
    assert RULES.cut(text, True, edits) == "好的呢，明天发货。"
    assert edits == {"closing": 2}


def test_what_leads_into_a_notice_goes_with_it():
    assert RULES.cut("已退款 亲爱的，如果方便， 还请您对小妹的服务作出评价哦", True, Counter()) == "已退款"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("[订单编号:[订单x]，订单金额:[金额x]，下单时间:[日期x] [时间x]] 没到货", "没到货"),
        ("咨询订单号:[订单x] 订单金额:[金额x] 下单时间:[日期x] 没到货", "没到货"),
        ("请选择咨询订单 没到货", "没到货"),
        ("查询订单号:[订单x]， 商品号:[数字x] 没到货", "没到货"),
        ("您选择了一个订单进行咨询(订单号:[订单x];商品编号:[数字x]) 没到货", "没到货"),
        ("订单号[订单x]没到货", "订单号[订单x]没到货"),
    ],
)
def test_order_cards_go(text, rest):
    assert RULES.cut_cards(text, Counter()).strip() == rest


@pytest.mark.parametrize("emoji", ["#E", "#E-s12", "#E-"])
def test_an_emoji_ends_a_message(emoji):
    edits = Counter()
    text = clean_characters(f"明天发货{emoji}请问还有其他还可以帮到您的吗?{emoji}", edits)
    assert RULES.cut(text, True, edits) == "明天发货[表情]"
    assert edits == {"emoji": 2, "closing": 1}
    assert RULES.cut("转人工[表情]", False, Counter()) == ""
    assert RULES.cut("好的[表情]", True, Counter()) == "好的[表情]"


def test_own_rules_match_whole_messages_of_anyone():
    rules = NoticeRules(("本店公告.*",))
    edits = Counter()
    assert rules.cut("本店公告今日休息。 在吗", False, edits) == "在吗"
    assert edits == {"own_notice": 1}
    with pytest.raises(CorpusError, match=r"extra_notices: '\(' is no regular expression"):
        NoticeRules(("(",))
