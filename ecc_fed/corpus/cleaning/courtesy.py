"""Agents' lines that would fit any dialogue: greetings, "please wait, I am looking", thanks, offers of more help.

A message is one where both hold for one of the kinds below:

    words    it can be spelled with the kind's words and those of every kind, and nothing is left over
    core     it holds an expression of the kind

A word with a matter of its own ("明天", "退款", "已经到了") is in no list, so that an answer which begins or ends
politely stays whole. How often a line occurs is not asked: "您的订单拦截成功，财务正在进行退款审核" stands in more
dialogues than most greetings do, and answers.

Words are matched from the left, the longest first, and never tried again (`(?>…)*+`): linear in the message.
"""

from __future__ import annotations

import re

LONGEST = 120  # characters; a longer message is not looked at

_AGENT = "我们|我|咱们|咱|小妹妹|小妹|妹子|妹妹|妹纸|小红人|小的|小编|这边|这里"
_ADDRESS = "您们|您|你|亲爱|亲|客官|小主|宝贝|尊敬|客户|商家|顾客|朋友|先生|女士|老板"
_PARTICLES = "的|地|哦|呢|啦|呀|哒|噢|喔|啊|呐|嘛|吧|了|哟|滴|欧|喽|咯|奥|嗷|o|啵|哈"
_POLITE = (
    "请问|请|还|麻烦|辛苦|劳烦|希望|非常|十分|真|很|太|都|也|那|嘿|嘻|呵|mua|么么|不要着急|不用着急|别着急|不着急|不要急|别急|"
    "放心|谢谢|感谢|抱歉|对不起|不好意思|好滴|好哒|好的|好|嗯|恩|ok|OK|您好|你好|谅解|见谅|理解|体谅|久等|让|服务"
)
_SORRY = "给(?:您|你|亲)(?:带来|添)(?:了|的)?(?:不便|麻烦)"
_LOOK = "查询|查看|查查|查|看看|看|核实|核查|核对|确认"
_TIME = r"(?:大概|大约|左右|0|[一二两三几半]|[-到至~])*+(?:分钟|秒钟|秒|会儿|会|小会儿|小会|片刻)(?:左右|的?时间)?"

_WISH = r"祝福?[您你亲][^吗?？0\[\]]{0,40}"

# kind: (words, expressions that count as words, core)
_KINDS = {
    "holding": (
        f"{_LOOK}|稍等|稍候|稍后|稍微|等等|等待|等一等|等|一下下|一下|下下|下|现在|马上|立即|立刻|正在|正|这就|就|先|再|去|来|耐心|"
        "帮|给|为|替|跟|努力|积极|急速|快速|火速|尽快|全力|加急|飞奔|着|中|进行|处理|解答|回复|订单|单子|单号|快递|物流|情况|信息|"
        "进度|之前|问题|具体|此单|这个|这单|在|咨询|人|比较|较多|多|不要离开|不要离线|不要下线|不要走开|收到|已经|哪|儿|预计|可以|吗|内容|记录|喝点水|喝水|稍作|休息",
        _TIME,
        rf"稍[等候]|稍作|不要(?:离开|离线|下线|走开)|^\W*等等|稍微等|等(?:我|小妹|妹子)|请(?:您|你|亲)?等(?:一?下|待?{_TIME})|久等"
        rf"|[帮给为替][您你亲]\w{{0,6}}?(?>{_LOOK})(?![到了好过出完])"
        rf"|(?:{_AGENT})(?:现在|马上|正在|这就|先|来|去|再|立即)*+(?>{_LOOK})(?:一下|下|看)"
        r"|^\W*(?:马上|正在|这就|立即|立刻)(?:查|核[实查])",
    ),
    "greeting": (
        "早上好|上午好|中午好|下午好|晚上好|一直|在线|在|来|欢迎|光临|高兴|荣幸|乐意|开心|能|为|给|恭候多时|恭候|已|美好|一天|"
        "一定|尽心尽力|尽力|处理|解决|解答|或|需要|帮助|帮到|帮|效劳|问题|事情|事|到|缘分|相遇|遇见|遇到|一种|从|开始|是|咨询|"
        "京东|物流|全球|人工|客服|助理|小秘书|工号|号|0|此|又|见面|节日|快乐|有|什么|可以|可|吗|排忧解难|此|就是",
        "",
        r"[您你]好(?!的)|[上中下]午好|[晚早]上好|在线?(?:的|呢|哦|哈|呀|哒|噢|啊)|(?:高兴|荣幸|乐意)\w{0,3}[为给]"
        r"|欢迎|恭候|遇见|相遇|来[啦了咯]|尽力|排忧解难|为[您你]们?服务的|有什么\w{0,8}(?:可|能|需要)\w{0,8}(?:帮|服务|处理|解答|解决|效劳)",
    ),
    "courtesy": (
        "多谢|谢|不用|不要|不|别|甭|客气|应该|应做|分内|份内|之事|事|做|这些|这|些|是|对|支持|配合|认可|包容|夸奖|等待|信任|关注|"
        "咨询|和|与|京东|本店|提供|荣幸|缘分|职责|能|可以|为|给|帮到|帮助|解决|问题|一直|努力|继续|会|更加|祝|生活|购物|工作|天天|"
        "心情|周末|节日|愉快|开心|快乐|顺利|高兴|多多|再见|拜拜|晚安|跟|说|就|无上|莫大|最大|没事|没关系",
        _WISH,
        r"谢|客气|应该(?:为[您你])?(?:做|的)|应做|[分份]内|服务\w{0,6}(?:荣幸|缘分|职责)|愉快|快乐|再见|拜拜|晚安|祝福?[您你亲]",
    ),
    "closing": (
        "如果|若|如|后续|后期|以后|之后|再|有|任何|其他|其它|什么|不明白|不懂|不清楚|问题|疑问|需要|需求|地方|事情|事|可以|欢迎|能|"
        "就|随时|再次|第一时间|继续|直接|联系|沟通|咨询|提问|反馈|找|召唤|进线|处理|一直|在|与|同在|为|给|解答|效劳|线|期待|下次|机会|会|来|"
        "评价|不等于|结束|电脑|旁边|旁|乐意|帮助|帮|客气|离线|未|并|解决|没有|暂时|不打扰|打扰|不客气|下一次|更好",
        "",
        rf"(?:随时|欢迎|再次|第一时间|继续)\w{{0,6}}(?:联系|沟通|咨询|提问|反馈|找|召唤|进线)(?:{_AGENT}|\W|[哦呢哈啦呀哒噢啊吧哟的]|$)"
        r"|随时(?:都)?(?:可以)?[为给]|同在|打扰|(?:希望|期待)\w{0,8}[为给]?[您你]服务|可以再?[联找跟]\w?我",
    ),
}


def _spelled(*lists: str, expressions: str = "") -> re.Pattern[str]:
    """What consists of these words, of these expressions and of signs."""
    words = sorted({word for part in lists for word in part.split("|")}, key=len, reverse=True)
    return re.compile(f"(?>{'|'.join([*filter(None, (expressions, _SORRY)), *words])}|\\W)*+")


_COMPILED = [
    (name, re.compile(core), _spelled(words, _AGENT, _ADDRESS, _PARTICLES, _POLITE, expressions=expressions))
    for name, (words, expressions, core) in _KINDS.items()
]
KINDS = frozenset(_KINDS)
_ADDRESS_ALONE = _spelled(_ADDRESS, _PARTICLES)
_OUTER = re.compile(r"\[订单x\]|小?\[姓名x\]|\[表情\]|O\(∩_∩\)O")
_NUMBER = re.compile(r"\[数字x\]|\d+")
# Every core holds one of these, and no message one of whose letters is in no word is a courtesy.
_CORE_HINT = re.compile(
    "稍|等|久|查|看|核|确|您好|你好|午好|上好|在[线的呢哦哈呀哒噢啊]|高兴|荣幸|乐意|欢迎|恭|遇|来[啦了咯]|尽力|什么|谢|客气|应该|应做|"
    "分内|份内|缘|职责|愉快|快乐|再见|拜拜|晚安|祝|随时|再次|第一|同在|希望|期待|继续|打扰|排忧|不要|服务的|联|找|跟"
)
_WORDS = "".join(
    [_AGENT, _ADDRESS, _PARTICLES, _POLITE, _SORRY, _TIME, _WISH, *(words for words, _, _ in _KINDS.values())]
)
_LETTERS = "".join(sorted(filter(str.isalpha, set(_WORDS))))
_HINT = re.compile(
    rf"(?:^|[。!！?？~\s])(?:[^\w。!！?？~\s]|[\d{_LETTERS}]|\[[^\[\]\s]*\])*+(?:$|[。!！?？~\s]|(?<=祝[您你亲])|(?<=祝福[您你亲]))"
)


def suspects(text: str) -> bool:
    """False where no message of `text` can be a courtesy: a quick look before the slow one."""
    return _CORE_HINT.search(text) is not None and _HINT.search(text) is not None


def is_address(message: str) -> bool:
    """True if `message` names nobody but the one spoken to ("亲爱的，"), or says nothing at all."""
    return _ADDRESS_ALONE.fullmatch(message) is not None


def courtesy_kind(message: str) -> str | None:
    """The kind of an agent's `message`; None where it says something of the matter."""
    if len(message) > LONGEST:
        return None
    plain = _NUMBER.sub("0", _OUTER.sub(" ", message))
    for name, core, spelled in _COMPILED:
        if core.search(plain) is not None and spelled.fullmatch(plain) is not None:
            return name
    return None
