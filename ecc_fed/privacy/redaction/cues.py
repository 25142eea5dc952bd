"""Words that say what the number behind them is."""

from __future__ import annotations

import re

_CUES = {
    "phone": (
        "电话|手机|联系方式|号码|致电|来电|回电|拨打|座机|热线|打|拨|"
        "telephone|phone|mobile|cell|tel|call|text|ring|whatsapp"
    ),
    "parcel": (
        "(?:快递|物流|运|包裹)单?号|快递|运单|物流|包裹|面单|快件|tracking|parcel|package|shipment|waybill|consignment"
    ),
    "order": "订单|单号|编号|下单|order|purchase|reference|invoice",
    "account": "微信|威信|薇信|扣扣|企鹅号|wechat|weixin|qq|vx|wx",
    "id_card": "身份证|证件|passport|identity card|id card|id number",
    "bank_card": "银行卡|信用卡|储蓄卡|卡号|账号|账户|credit card|debit card|card|iban|account",
}
_CUE = re.compile("|".join(f"(?P<{kind}>{words})" for kind, words in _CUES.items()), re.IGNORECASE)
_REACH = 18


def cue_before(plain: str, start: int) -> str | None:
    """The kind that the last cue word before `start` names; None where there is none near."""
    kind = None
    for match in _CUE.finditer(plain, max(0, start - _REACH), start):
        kind = match.lastgroup
    return kind
