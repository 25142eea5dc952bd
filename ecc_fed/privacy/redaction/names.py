"""Finds people's names: behind a word that announces one, or where a parcel's label has it.

A Chinese name is a family name and one or two signs more. Names that nothing announces are not found: "王伟" alone
could as well be a brand. Those in an order record are found in any case (`known`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ecc_fed.privacy.redaction.draft import Draft, Found, Place
from ecc_fed.privacy.redaction.folding import TAKEN

# The Hundred Family Surnames with the commoner ones beside them, without those that are everyday words; first those
# of two signs.
_DOUBLE = (
    "欧阳|太史|端木|上官|司马|东方|独孤|南宫|万俟|闻人|夏侯|诸葛|尉迟|公羊|赫连|澹台|皇甫|"
    "宗政|濮阳|公冶|太叔|申屠|公孙|慕容|仲孙|钟离|长孙|宇文|司徒|鲜于|司空|令狐|东郭|百里|"
    "呼延|轩辕"
)
_SINGLE = (
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章云苏潘葛奚范彭郎鲁韦昌马"
    "苗凤花方俞任袁柳酆鲍史唐费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于时傅皮卞齐康伍余元卜顾孟平黄穆萧尹姚邵湛汪祁"
    "毛禹狄米贝明臧伏成戴谈宋茅庞熊纪舒屈项祝董梁杜阮蓝闵席季麻强贾路娄危江童颜郭梅盛林刁钟徐邱骆高夏蔡田樊胡"
    "凌霍虞万支柯昝管卢莫经房裘缪干解宗丁宣贲邓郁单杭洪包诸左石崔吉钮龚程嵇邢滑裴陆荣翁荀羊於惠甄曲家封芮羿储"
    "靳汲邴糜松井段富巫乌焦巴弓牧隗山谷车侯宓蓬郗班仰秋仲伊宫宁仇栾暴甘钭厉戎祖武符刘景詹束龙叶幸司韶郜黎蓟薄"
    "印宿白怀蒲邰鄂索咸籍赖卓蔺屠蒙池乔阴胥苍双闻莘党翟谭贡劳逄姬申扶堵冉宰郦雍却璩桑桂濮牛寿边扈燕冀郏浦尚农"
    "温别庄晏柴瞿阎充慕连茹习宦艾鱼容向古易慎戈廖庾终暨居衡步耿弘匡文寇广禄阙东欧殳沃利蔚越夔隆师巩厍聂晁勾敖"
    "融冷訾辛阚简饶曾毋沙乜养鞠须丰巢关蒯相荆红游竺权逯盖益桓岳帅缑亢况琴牟佘佴伯赏墨哈谯笪爱阳佟肖付代覃邸仝"
    "练闫苟禤闭楚卿候岩"
)
# Signs that hardly stand second or third in a name, and often behind one.
_NOT_GIVEN = (
    "的了吗吧呢啊呀哦嘛么收下单您你我他她这那查看帮改就可行不没是在跟也都要请谢打寄送发到签会对应您换写填留用"
    "叫把给买拍被和与，"
)
_GIVEN = f"(?![{_NOT_GIVEN}])[\u4e00-\u9fff]"
_NAME = f"(?:(?:{_DOUBLE})|[{_SINGLE}])[ ·\u200b]?{_GIVEN}(?:[ ·\u200b]?{_GIVEN})?"
# Everyday words that begin like a name; only a word that announces a name makes one of them.
_NO_NAME = (
    "单号|单子|包裹|包邮|麻烦|高兴|时候|时间|安排|路上|水果|金额|方便|方式|常用|马上|白色|"
    "红色|黄色|蓝色|双方|成功|万一|房号|房间|温馨|于是|毛衣|余额|支付|关于|明天|明早|平时|"
    "平台|祝您?|何时|任何|花费|花了|连衣|邮费|邮寄|水杯|程序|强烈|雷同|米色|苗条|方面|费用|"
    "武汉|温州|宁波|石家|黄山|江苏|安徽|贵州|云南|海南|广州|金华|苏州|郑州|杭州|常州|徐州|"
    "严重|严格|左右|暴力|幸亏|强调|戴着|车上|柴米|桂花|童装|毕竟|阳台|鱼缸|易碎|古风|应该|"
    "向您|经理|家长|老师|师傅|家里|家人|家属|家庭|家电|单位|单独|明细|安装|任意|关机|关门"
)
_NAME_ALONE = f"(?!{_NO_NAME})(?:(?:{_DOUBLE})|[{_SINGLE}]){_GIVEN}(?:{_GIVEN})?"
_STRONG = re.compile(
    "(?:收货人|收件人|联系人|取件人|签收人|代收人|收货姓名|收件姓名|下单人|户名|姓名|名字|真名|本名|实名|本人|名叫|我叫|叫做|署名|"
    "收货的?人|收件的?人|签收的?人)"
    "(?:姓名|名字)?(?:错了|[ :：,，是为叫写填成改换留用应该就]){0,7}"
    f"({_NAME}|[\u4e00-\u9fff]{{2,8}}·[\u4e00-\u9fff]{{2,8}})"
)
_END = rf"(?=[\s,，。.!！?？;；~、{TAKEN}]|\Z|收|的|吧|就|下的?单|名下|先生|女士|小姐)"
_WEAK = re.compile(f"(?:叫|寄给|交给|转给|发给|送给|抬头)({_NAME_ALONE}){_END}")
_BEFORE_WORD = re.compile(
    rf"(?:\A|[\s,，。.!！?？;；~、{TAKEN}]|查下|查一下|帮我查|帮|看看|看下|用|就是)({_NAME_ALONE})"
    "(?=的(?:订单|单子|单|件|快递|包裹|名字)|名下|下的单|收(?:\\Z|[\\s,，。])|先生|女士|小姐|本人|您好|你好)"
)
# On a parcel's label: "…1201室 王伟 13800001111", in any order.
_LABEL = re.compile(
    rf"(?:\A|[\s,，:：;；{TAKEN}])({_NAME_ALONE})[\s,，:：;；]{{0,4}}{TAKEN}|{TAKEN}[\s,，:：;；]{{0,2}}({_NAME_ALONE})(?=[\s,，。;；]|收|\Z)"
)
# Who brings it: "配送员：王伟", "快递员王伟电话…".
_COURIER = "(?:配送|快递|快件|派送|派件|送货|送件|投递|收派|揽收|安装|维修)(?:员|师傅|小哥|人员)|业务员|站长|司机|师傅"
_BROUGHT = re.compile(
    rf"(?:{_COURIER})(?:的?(?:姓名|名字))?(?: ?[:：]|是|叫|为) ?({_NAME_ALONE}){_END}"
    rf"|(?:{_COURIER}) ?({_NAME_ALONE})(?=[\s,，:：;；、]{{0,3}}(?:的?(?:电话|手机|联系)|{TAKEN}))"
)
# "我姓王": a family name alone, too. "姓名", "贵姓", and 百姓, who are nobody.
_FAMILY = re.compile(rf"(?<![贵同百])姓[ :：是]{{0,2}}((?:{_DOUBLE})|[{_SINGLE}](?:{_GIVEN}(?:{_GIVEN})?)?){_END}")
# Whom to call, and whose name an invoice is to bear: "打王伟电话", "发票打王伟".
_CALLED = re.compile(f"(?:打|联系|致电)(?:给|到)?({_NAME_ALONE})(?=的?(?:电话|手机|号码))")
_INVOICED = re.compile(rf"发票[^{TAKEN}。！!？?；;]{{0,12}}?打(?!印)(?:成|给|为)?({_NAME_ALONE})(?:{_END}|(?=[那这]))")

_CAPITAL = r"[A-Z][A-Za-z'’-]{1,20}"
_ENGLISH = re.compile(
    r"(?<![A-Za-z])(?i:my name is|my name's|name is|name:|name on (?:the |my )?order(?: is)?|the name of|"
    r"under the name|i am|i'm|i’m|this is|deliver(?:ed)? (?:it )?to|ship(?:ped)? (?:it )?to|send (?:it )?to|"
    r"addressed to|attn\.?:?|attention:?|recipient(?: is|:)?|receiver(?: is|:)?|contact(?: person)?(?: is|:)?|called|"
    r"mr\.?|mrs\.?|ms\.?|miss|dr\.?)"
    rf"[ ,]{{1,2}}((?:Mr|Mrs|Ms|Dr)\.? )?({_CAPITAL}(?: [A-Z]\.?(?![A-Za-z]))?(?: {_CAPITAL}){{0,2}})"
)
_LOWER = re.compile(
    r"(?<![A-Za-z])(?i:my name is|my name's|name on (?:the |my )?order is|recipient is)[ ]"
    r"([a-z][a-z'’-]{1,20}(?: (?!(?:and|but|from|with|my|can|please|the|is|at|on|for|to|here|i|what|"
    r"where|when|order)\b)"
    r"[a-z][a-z'’-]{1,20})?)"
)


def find_names(draft: Draft) -> None:
    """Takes names that something announces; addresses and numbers are to be taken before."""
    for pattern in (
        _STRONG,
        _WEAK,
        _BEFORE_WORD,
        _LABEL,
        _BROUGHT,
        _FAMILY,
        _CALLED,
        _INVOICED,
        _ENGLISH,
        _LOWER,
    ):
        draft.take([found for turn, plain in enumerate(draft.plain) for found in _names(pattern, turn, plain)])


def _names(pattern: re.Pattern[str], turn: int, plain: str) -> Iterator[Found]:
    for match in pattern.finditer(plain):
        yield Found("name", (Place(turn, *match.span(match.lastindex or 1)),))
