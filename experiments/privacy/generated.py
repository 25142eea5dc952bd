"""Sentences with private values, Chinese and English, from tables and templates of their own.

Nothing here was taken from the redactor or the simulator, and neither reads this: it is what they are tested with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

_ZH_FAMILY = "黄陈林郭曾邱谢蔡潘吕彭邓萧叶魏薛丁董沈姜范江傅钟卢汪戴崔陆廖姚方金邹熊孟秦白尹易常武乔贺赖龚文"
_ZH_GIVEN = "嘉怡俊杰子轩雅婷建国淑芬晓燕德华秀兰博文诗琪天佑海燕国栋玉梅少聪慧敏振宇家豪碧云立新婉清鹏程"
_EN_FIRST = ("Olivia", "Liam", "Emma", "Noah", "Amelia", "Oliver", "Sophia", "Elijah", "Isla", "Henry", "Priya", "Omar")
_EN_LAST = (
    "Walker",
    "Hughes",
    "Patel",
    "Nguyen",
    "Foster",
    "Bennett",
    "Okafor",
    "Larsen",
    "Murphy",
    "Schmidt",
    "Reyes",
)
_ZH_PLACES = (
    "成都市武侯区",
    "南京市鼓楼区",
    "福州市台江区",
    "长沙市岳麓区",
    "哈尔滨市道里区",
    "贵阳市云岩区",
    "兰州市城关区",
)
_ZH_ROADS = ("桂溪路", "湖南路", "五一中路", "麓山南路", "尚志大街", "瑞金北路", "东岗西路", "紫荆巷")
_ZH_ESTATES = ("锦江新城", "书香名邸", "福满家园", "望江公寓", "龙湖小区", "世纪花园")
_EN_STREETS = ("Maple", "Oak Hill", "Victoria", "Station", "Cedar", "King William", "Riverside", "Elm")
_EN_KINDS = ("Street", "Road", "Avenue", "Lane", "Drive", "Court", "Ave", "St")
_EN_TOWNS = ("Portland, OR 97205", "Austin, TX 78701", "Dayton, OH 45402", "Leeds", "Bristol", "Madison, WI 53703")
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _digits(rng: Random, count: int, first: str = "123456789") -> str:
    return rng.choice(first) + "".join(rng.choice("0123456789") for _ in range(count - 1))


def zh_name(rng: Random) -> str:
    """Two or three signs."""
    return rng.choice(_ZH_FAMILY) + "".join(rng.sample(_ZH_GIVEN, rng.choice((1, 2))))


def zh_phone(rng: Random) -> str:
    """A mainland mobile."""
    return "1" + rng.choice("3456789") + _digits(rng, 9, "0123456789")


def zh_address(rng: Random) -> str:
    """City, district, road, number, estate, building and room."""
    tail = f"{rng.randint(1, 30)}栋{rng.randint(1, 25)}0{rng.randint(1, 8)}室" if rng.random() < 0.7 else ""
    road = f"{rng.choice(_ZH_ROADS)}{rng.randint(1, 500)}号"
    return rng.choice(_ZH_PLACES) + road + (rng.choice(_ZH_ESTATES) + tail if tail else "")


def order(rng: Random) -> str:
    """Twelve to nineteen digits."""
    return _digits(rng, rng.randint(12, 19))


def zh_parcel(rng: Random) -> str:
    """A courier's letters and digits, or digits alone."""
    return rng.choice(("SF", "YT", "JD", "EMS", "")) + _digits(rng, rng.randint(12, 14))


def id_card(rng: Random) -> str:
    """Region, date of birth, serial, check character (GB 11643)."""
    birth = f"{rng.randint(1950, 2008)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
    body = _digits(rng, 6, "1234568") + birth + _digits(rng, 3, "0123456789")
    return body + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, _ID_WEIGHTS, strict=True)) % 11]


def bank_card(rng: Random) -> str:
    """Sixteen or nineteen digits with a Luhn digit."""
    body = rng.choice(("6222", "6217", "4367", "5218")) + _digits(rng, rng.choice((11, 14)), "0123456789")
    for last in "0123456789":
        total = 0
        for place, digit in enumerate(int(sign) for sign in (body + last)[::-1]):
            total += sum(divmod(2 * digit, 10)) if place % 2 else digit
        if total % 10 == 0:
            return body + last
    raise AssertionError("one of ten digits fits")


def email(rng: Random) -> str:
    """A mailbox at a host."""
    local = "".join(rng.choice("abcdefghijkmnpqrstuvwxyz") for _ in range(rng.randint(4, 9)))
    host = rng.choice(("163.com", "qq.com", "gmail.com", "mail.example.co.uk"))
    return f"{local}{rng.choice(('', '.w', '_88', '2024'))}@{host}"


def account(rng: Random) -> str:
    """A WeChat id."""
    return rng.choice("abcdefghlmwxyz") + "".join(
        rng.choice("abcdefghjkmn0123456789_") for _ in range(rng.randint(6, 12))
    )


def en_name(rng: Random) -> str:
    """First and last name."""
    return f"{rng.choice(_EN_FIRST)} {rng.choice(_EN_LAST)}"


def en_phone(rng: Random) -> str:
    """American, international or British forms."""
    area, local, line = _digits(rng, 3, "2345678"), _digits(rng, 3, "23456789"), _digits(rng, 4, "0123456789")
    return rng.choice(
        (f"({area}) {local}-{line}", f"{area}-{local}-{line}", f"+1 {area} {local} {line}", f"07{_digits(rng, 9)}")
    )


def en_address(rng: Random) -> str:
    """Number, street, flat and town."""
    flat = f", Apt {rng.randint(1, 40)}" if rng.random() < 0.4 else ""
    return f"{rng.randint(1, 990)} {rng.choice(_EN_STREETS)} {rng.choice(_EN_KINDS)}{flat}, {rng.choice(_EN_TOWNS)}"


def en_parcel(rng: Random) -> str:
    """Letters and digits mixed, or digits alone."""
    return rng.choice((f"1Z{_digits(rng, 3)}AA{_digits(rng, 10)}", f"RM{_digits(rng, 9)}GB", _digits(rng, 12)))


Maker = Callable[[Random], str]
# By language: class -> (who makes a value, sentences that hold it). "name, bare": nothing announces it.
TEMPLATES: Mapping[str, Mapping[str, tuple[Maker, tuple[str, ...]]]] = {
    "zh": {
        "name": (
            zh_name,
            ("收货人：{}", "我叫{}，帮看下物流", "收件人改成{}可以吗", "联系人{}", "姓名写{}", "名字是{}哈", "署名{}"),
        ),
        "name, bare": (zh_name, ("{}", "昨天{}跟你们说过的", "你问{}就知道", "应该是{}签收了呀")),
        "phone": (zh_phone, ("电话{}", "{}打这个", "麻烦联系{}谢谢", "我老公{}", "换成{}吧，原来的停机了", "+86{}")),
        "address": (zh_address, ("寄到{}", "收货地址：{}", "{}，别送错了", "帮我改成{}吧", "我住{}")),
        "order": (order, ("订单{}", "{}这单咋回事", "查{}", "单号{}一直没动", "我刚拍的{}能改吗")),
        "parcel": (zh_parcel, ("快递{}", "{}在哪了", "运单号{}", "物流{}不更新了")),
        "account": (account, ("加我微信{}", "微信号：{}", "vx{}", "我wx {}", "威信 {}")),
        "id_card": (id_card, ("身份证{}", "证件号码是{}", "实名用{}", "{}这是我的证件")),
        "bank_card": (bank_card, ("退到{}", "银行卡号{}", "卡号是{}建行的", "{}这张卡")),
        "email": (email, ("发票发到{}", "邮箱{}", "{}收发票")),
    },
    "en": {
        "name": (
            en_name,
            ("My name is {}", "Please deliver to {}", "Recipient: {}", "I'm {}, I ordered a lamp", "This is {} again"),
        ),
        "name, bare": (en_name, ("{}", "{} signed for it, I think", "Ask {} about it")),
        "phone": (en_phone, ("Call me at {}", "my number is {}", "{} is my cell", "Phone {}")),
        "address": (en_address, ("Send it to {}", "My address is {}", "{} please", "Can you ship to {}?")),
        "order": (order, ("order {}", "Order number {} please", "Where is {}?", "#{} never came")),
        "parcel": (en_parcel, ("tracking {}", "The tracking number is {}", "{} has not moved", "parcel {} is lost")),
        "account": (account, ("my wechat is {}", "WeChat: {}", "add me on wechat {}")),
        "bank_card": (bank_card, ("refund it to card {}", "{} is my card", "my debit card {}")),
        "email": (email, ("Send the invoice to {}", "email {}", "{} is my address")),
    },
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A customer's turn and the value in it."""

    kind: str
    text: str
    value: str


def sentences(language: str, kind: str, count: int, seed: int) -> Iterator[Sentence]:
    """`count` sentences that hold a value of one class; the same for the same seed."""
    maker, templates = TEMPLATES[language][kind]
    rng = Random(f"{seed}/{language}/{kind}")
    for number in range(count):
        value = maker(rng)
        yield Sentence(kind, templates[number % len(templates)].format(value), value)
