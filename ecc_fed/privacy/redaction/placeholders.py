"""What stands for a value on the wire: `[电话1]`, in English `[phone1]`; numbers count from 1 in every dialogue.

Teachers bend brackets, and customers type what looks like a placeholder; both are found by one pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Literal

from ecc_fed.privacy.redaction.draft import Draft, Found, Place

Language = Literal["zh", "en"]
# What a customer typed that reads as a placeholder: taken out like a value, and given back as it was typed.
TYPED = "typed"
LABELS: Mapping[Language, Mapping[str, str]] = {
    "zh": {
        "name": "姓名",
        "phone": "电话",
        "address": "地址",
        "order": "订单号",
        "parcel": "快递单号",
        "id_card": "身份证",
        "bank_card": "银行卡",
        "account": "账号",
        "email": "邮箱",
        "number": "数字",
        TYPED: "原文",
    },
    "en": {
        "name": "name",
        "phone": "phone",
        "address": "address",
        "order": "order",
        "parcel": "parcel",
        "id_card": "id",
        "bank_card": "card",
        "account": "account",
        "email": "email",
        "number": "number",
        TYPED: "typed",
    },
}


@cache
def pattern_of(language: Language) -> re.Pattern[str]:
    """Placeholders, as they are sent or somewhat bent; groups 1 and 2, or 3 and 4, are label and number.

    Square brackets of all sorts may hold spaces; round ones, which mean other things too, may not.
    """
    labels = "|".join(LABELS[language].values())
    return re.compile(
        rf"[\[【［〔]\s*({labels})\s*(\d{{1,6}})\s*[\]】］〕]|[(（]({labels})(\d{{1,6}})[)）]", re.IGNORECASE
    )


def canonical(match: re.Match[str]) -> str:
    """The placeholder as it is sent."""
    label, number = match[1] or match[3], match[2] or match[4]
    return f"[{label.lower()}{int(number)}]"


def mask_of(kind: str, language: Language) -> str:
    """What stands for every value of a class where a model learns: `[电话x]`, as in JDDC; in English `[phone x]`."""
    return f"[{LABELS[language][kind]}{'x' if language == 'zh' else ' x'}]"


def typed(draft: Draft, language: Language) -> Iterator[Found]:
    """What reads as a placeholder before there is any."""
    for turn, plain in enumerate(draft.plain):
        for match in pattern_of(language).finditer(plain):
            yield Found(TYPED, (Place(turn, *match.span()),))
