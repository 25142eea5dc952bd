"""Text that no one said in answer to anyone: platform cards, menu entries, scripted openings and closings.

Each rule has a name, under which the report counts what it cut. Rules work on messages: a turn is cut
at spaces and at sentence ends, a message that a rule knows is taken out, and a turn of which nothing is left but an
address ("亲爱的") is dropped. Scripted lines are cut from agents only: a customer who writes of an evaluation means
one. What the rules leave of an agent's lines is told by its words (`courtesy.py`): greetings, "please wait", thanks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ecc_fed.core.errors import CorpusError
from ecc_fed.corpus.cleaning import courtesy

_MASK = r"\[[^\[\]\n]*\]"
# Bounded, as the runs of spaces are: what a card may hold is tried from everywhere that one may begin.
_FIELD = rf"(?:{_MASK}|[^\s\[\]，,]{{1,200}})?"
# Cards that the shop page puts into a chat. Spaces only, no \s: a card ends with its line, which is a turn.
_CARDS = re.compile(
    rf"(?:顾客通过点击[^\n]{{0,30}}?信息发送: {{0,4}})?\[订单编号:(?:{_MASK}|[^\[\]\n])*\]"
    rf"|咨询订单号: {{0,4}}{_FIELD}(?: {{0,4}}(?:商品ID|商品名称|订单金额|下单时间): {{0,4}}￥?{_FIELD})*"
    rf"(?: {{1,4}}\[时间x\])?(?: {{0,4}}订单业务咨询)?"
    rf"|(?:\[日期x\] {{0,4}}\[时间x\] {{0,4}})?订单编号: {{0,4}}{_FIELD} {{0,4}}订单金额: {{0,4}}￥?{_FIELD}"
    rf"(?: {{0,4}}下单时间: {{0,4}}{_FIELD}(?: {{0,4}}\[时间x\])?)?"
    rf"|查询订单号: {{0,4}}{_FIELD}[，,] {{0,4}}商品号: {{0,4}}{_FIELD}"
    r"|您选择了一个订单进行咨询(?:\([^()\n]*\))?|请选择咨询订单"
)

_HELP = r"(?:帮|效劳|服务|需要|咨询)"
# (name, who may say it: True agents only, False customers only, None both, pattern over a whole message)
_RULES: tuple[tuple[str, bool | None, str], ...] = (
    (
        "transfer_notice",
        None,
        r"(?:我要|请|帮我)?(?:转|找|接)?人工(?:客服|服务)?"
        r"|(?:正在|即将)为您(?:转接|接入|分配)\S{0,16}"
        r"|\S{0,12}(?:人工)?客服\S{0,16}(?:已接入|接入会话|加入会话)\S{0,8}"
        r"|(?:当前|您前面)\S{0,6}(?:排队|等待)\S{0,20}"
        r"|\S{0,24}(?:会话|对话|咨询)(?:已|即将|将)?(?:自动)?(?:结束|关闭|断开)\S{0,8}"
        r"|由于您长时间\S{0,40}"
        r"|\S{0,12}(?:没有|未|长时间)\S{0,6}[收得]到您的(?:回复|答复|消息)，\S{0,80}",
    ),
    (
        "menu_entry",
        False,
        r"[\u4e00-\u9fff/]{2,12}\((?:移动|手机|电脑|PC|APP)端?\)"
        r"|(?!\S*[我你您想请要吗呢嘛么能可怎什哪过])[\u4e00-\u9fff/]{2,8}咨询|(?:咨询)?之前的问题"
        r"|请选择您?\S{0,12}(?:类型|业务|订单|问题)|我(?:已经|还未)购买|意见[与和]?建议(?:反馈)?",
    ),
    (
        "robot_notice",
        True,
        r"\S{0,10}(?:智能|机器人)(?:客服|助手)?\S{0,16}(?:为您(?:服务|解答)|很?高兴)\S{0,10}"
        r"|\S{0,28}很?高兴(?:能)?为您服务\S{0,4}"
        r"|\S{0,16}客服\S{0,8}为您服务\S{0,4}|\S{0,16}(?:客服|工号|咚咚)\S{0,16}很?高兴(?:能)?为您服务，\S{0,24}",
    ),
    (
        "evaluation_request",
        True,
        r"\S*(?:服务|小妹|妹子|妹纸|小红人|小红心|小桃心|表情栏|对话框|聊天框|满意度|“\+”|给我|给个|给小|打赏|赏个|辛苦|麻烦)"
        r"\S{0,28}评价\S{0,24}"
        r"|\S{0,16}给个评价\S{0,8}|\S{0,24}评价\S{0,12}(?:服务|小妹|妹子|妹纸)\S{0,12}"
        r"|\S{0,16}(?:点击|还请)\S{0,10}(?:表情栏|小红心|小桃心|满意度)\S{0,24}|满意度|\S{0,12}服务\S{0,4}满意的话"
        r"|\S{0,16}(?:对话框|聊天框)\S{0,6}“\S{0,4}|\S{0,6}有个\S{0,3}请求\S{0,6}|\S{0,12}[一五1-5]颗?星\S{0,6}(?:满意|不满)\S{0,40}"
        r"|[^\s\d\[\]]{0,40}评价[^\s\d\[\]]{0,48}(?:随时提问|继续反馈|不满意)[^\s\d\[\]]{0,60}"
        r"|\S{0,12}对我的服务做出评价[^\s\d\[\]]{0,40}|[^\s订]{0,16}(?:怠慢|不周)[^\s订]{0,32}|谢谢您啦|么么哒",
    ),
    (
        "opening",
        True,
        r"(?!\S*还)\S{0,10}有什么(?:问题|事)?\S{0,8}(?:可以|能)(?:为您)?(?:帮|解答|处理|效劳)\S{0,16}"
        r"|\S{0,4}请问您?是咨询之前的?问题，?还是\S{0,24}",
    ),
    (
        "closing",
        True,
        r"(?:\S{0,24}(?:还|是否|有没有)\S{0,6}(?:其他|其它|别的|(?<=有)什么)\S{0,12}"
        + _HELP
        + r"\S{0,12}(?:，[^\s\d\[\]]{0,90})?)"
        r"|\S{0,12}有(?:什么|其他|其它)\S{0,10}可以(?:帮|效劳)\S{0,10}"
        r"|(?:亲{1,2}，)?(?:非常)?感谢(?:您)?(?:对)?\S{0,12}(?:支持|关注|光临|惠顾)\S{0,24}"
        r"|(?:亲爱的)?(?:商家|客户|顾客)，以后您的[^\s\d\[\]]{0,60}找到我们[^\s\d\[\]]{0,40}|预祝[您你亲][^\s\d\[\]]{0,90}"
        r"|\S{0,8}祝(?:您|你|亲)\S{0,36}|(?:亲爱的|亲)?再见"
        r"|(?:很高兴)?遇到\S{0,6}您这(?:么|样)\S{0,30}|很高兴(?:遇到|\S{0,6}有像?)您\S{0,30}"
        r"|\S{0,30}很高兴(?:能)?帮您这(?:么|样)\S{0,40}|\S{0,10}问题\S{0,4}是否\S{0,10}解决\S{0,8}|\S{0,10}还有可以[为帮]\S{0,14}"
        r"|(?:您)?(?:真是)?太?客气了?[啦呢哦哈]?，这(?:些)?都是\S{0,16}",
    ),
)
# Every match of a rule contains a match of this. Each alternative starts with a character of its own, which lets the
# search skip by a set of characters: that is what makes looking at every session affordable.
_HINT = re.compile(
    "人工|正在为您|即将为您|接入|加入会话|排队|等待|由于您|结束|关闭|断开|到您的|机器人|智能|高兴|为您服务|评价|怠慢|不周|"
    "个\\S{0,3}请求|小红心|小桃心|表情栏|满意|不满|对话框|聊天框|谢谢您啦|么么哒|感谢|祝[您你亲]|再见|遇到|客气\\S{0,3}这|"
    "咨询(?:$|[\\s之。!！?？~，,])|之前的问题|端\\)|动\\)|请选择|已经购买|还未购买|意见|"
    "有可以|是否|有(?:什么|其他|其它)\\S{0,11}(?:可以|能|效劳)|其他\\S{0,12}[帮效服需咨]|其它\\S{0,12}[帮效服需咨]|"
    "别的\\S{0,12}[帮效服需咨]|什么\\S{0,12}[帮效服需咨]"
)
# An emoji ends a message as a full stop does.
_MESSAGE = re.compile(r"(?:(?!\[表情\])[^。!！?？~\s])*(?:\[表情\]|[。!！?？~])*\s*")
_ENDS = "。!！?？~ ，,"
_EMOJI_END = re.compile(r"(?:\[表情\][。!！?？~ ，,]*)+$")


@dataclass(frozen=True)
class NoticeRules:
    """The rules above, and a user's own: regular expressions that a whole message must match.

    Raises:
        CorpusError: a user's expression does not compile.
    """

    own: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rules = [(name, agent_only, re.compile(pattern)) for name, agent_only, pattern in _RULES]
        for pattern in self.own:
            try:
                rules.append(("own_notice", None, re.compile(pattern)))
            except re.error as error:
                raise CorpusError(
                    f"corpus.extra_notices: {pattern!r} is no regular expression ({error}). Correct or drop it."
                ) from error
        object.__setattr__(self, "_rules", rules)
        # What rules are for recurs: most messages that reach them were looked at before.
        object.__setattr__(self, "_name", lru_cache(1 << 14)(self._find))

    def cut_cards(self, text: str, edits: Counter[str]) -> str:
        """Takes order cards out of any text."""
        if "订单" not in text:
            return text
        text, found = _CARDS.subn(" ", text)
        if found:
            edits["order_card"] += found
        return text

    def suspects(self, text: str, by_agent: bool) -> bool:
        """False where no rule can match anything in `text`: a quick look before the slow one."""
        return bool(self.own) or _HINT.search(text) is not None or (by_agent and courtesy.suspects(text))

    def cut(self, text: str, by_agent: bool, edits: Counter[str]) -> str:
        """`text` of one turn without the messages that a rule knows."""
        name_of: Callable[[str, bool], str | None] = self._name  # type: ignore[attr-defined]
        kept: list[str] = []
        cut = False
        for message in _MESSAGE.findall(text):
            name = name_of(_EMOJI_END.sub("", message).strip(_ENDS), by_agent)
            if name is None:
                kept.append(message)
                continue
            edits[name] += 1
            cut = True
            # "亲爱的，如果方便， 还请您…评价": what leads into a notice goes with it. An address alone goes with a
            # courtesy: "明天到货的， 谢谢您的支持" answers first.
            by_words = by_agent and name in courtesy.KINDS
            while kept and (courtesy.is_address(kept[-1]) if by_words else kept[-1].rstrip().endswith(("，", ","))):
                kept.pop()
        if not cut:
            return text
        rest = "".join(kept).strip()
        return "" if courtesy.is_address(rest) else rest

    def _find(self, message: str, by_agent: bool) -> str | None:
        """The name of the rule that knows `message`, if one does."""
        if not message:
            return None
        if self.own or _HINT.search(message) is not None:
            rules: Sequence[tuple[str, bool | None, re.Pattern[str]]] = self._rules  # type: ignore[attr-defined]
            for name, agent_only, pattern in rules:
                if (agent_only is None or agent_only is by_agent) and pattern.fullmatch(message):
                    return name
        return courtesy.courtesy_kind(message) if by_agent else None
