"""Finds postal addresses by their shape: a road or an estate with numbers, and what stands before and behind them.

Shapes know no places, so this finds less than an order record does, and takes a word too much here and there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ecc_fed.privacy.redaction.draft import Draft, Found, Place

_H = "[\u4e00-\u9fff]"
_NUMBER = r"(?:[0-9]{1,5}|[A-Za-z][0-9]{0,3}|[一二三四五六七八九十百零〇]{1,5})"
_AREA = "省|自治区|市|区|县|旗|州|盟|镇|乡|村|庄|街道"
_ROAD = "大道|大街|路|街|道|巷|弄|胡同|里|段|线"
_ESTATE = "小区|花园|家园|公寓|大厦|广场|新村|社区|学校|大学|医院|中心|苑|园|城|湾|府|邸|庭|居|都|厦|寓|坊|阁|轩|郡"
_UNIT = "号楼|号院|单元|号|栋|幢|座|楼|层|室|房|门|弄|组|队|户"
# A numbered part: 12号, 3栋, 1201室, 3-2-1201.
_NUMBERED = rf"{_NUMBER}(?:[-－—]{_NUMBER}){{0,3}} ?(?:{_UNIT})"
_TAIL = re.compile(
    rf"(?:[ ,，、]?(?:{_NUMBERED}|{_H}{{1,8}}?(?:{_ESTATE}|{_ROAD})|(?<=[楼栋幢座元]) ?[0-9]{{1,4}}(?![0-9])))+"
)
# Of these a number behind makes an address; "今天都八号" is none.
_ANCHOR = re.compile(
    rf"(?:大道|大街|路|街|道|巷|弄|胡同|{_AREA}|小区|花园|家园|公寓|大厦|广场|新村|社区|苑|园|城|湾|府|邸|寓|轩|阁)"
    rf" ?(?={_NUMBERED})"
)
# No number, and yet more than a town: two areas and a road or an estate.
_PROPER = f"(?![省市区县镇]){_H}"
_AREAS = re.compile(
    rf"(?:{_PROPER}){{2,7}}(?:省|自治区|市)(?:{_PROPER}){{1,7}}[市区县镇](?:{_H}{{1,12}}?)(?:{_ROAD}|{_ESTATE}|村)"
)
_BEFORE = re.compile(rf"(?:{_H}|[ ,，0-9])+\Z")
_REACH = 32
# What people say before an address; whatever stands up to the last of them is none of it.
_LEADS = re.compile(
    "地址|收货地|收件地|寄到|寄去|寄往|寄给|寄|发到|发去|发往|送到|送去|送往|改到|改成|改为|改|换成|换到|换|填成|填|写成|"
    "应该是|其实是|就是|不是|是|在|到|去|为|成|把|按|住|位于|新|家里|公司|单位|麻烦|帮我|请|给我|了|[,，:： ]"
)
_TOWN = re.compile(rf"{_H}{{2,7}}?(?:省|自治区|市|区|县)")

_WORD = r"[A-Z][A-Za-z'’.-]{0,20}"
_STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd|Way|Place|Pl|Terrace|Close|Crescent|"
    r"Square|Sq|Highway|Hwy|Parkway|Pkwy|Circle|Cir|Row|Walk|Grove|Hill)"
)
_ENGLISH = re.compile(
    rf"(?<![A-Za-z0-9])[0-9]{{1,5}}[A-Za-z]? (?:(?:N|S|E|W|North|South|East|West)\.? )?(?:{_WORD} ){{1,4}}{_STREET}"
    r"(?![A-Za-z])\.?"
    r"(?:,? (?:Apt|Apartment|Unit|Suite|Ste|Flat|Floor|Room|#)\.? ?[A-Za-z0-9-]{1,6})?"
    rf"(?:,? {_WORD}(?: {_WORD}){{0,2}})?(?:,? [A-Z]{{2}}(?![A-Za-z]))?(?:,? [0-9]{{5}}(?:-[0-9]{{4}})?(?![0-9]))?",
)


def find_addresses(draft: Draft) -> None:
    """Takes Chinese and English addresses."""
    for find in (_chinese, _areas, _english):
        draft.take([found for turn, plain in enumerate(draft.plain) for found in find(turn, plain)])


def _chinese(turn: int, plain: str) -> Iterator[Found]:
    done = 0
    for anchor in _ANCHOR.finditer(plain):
        if anchor.start() < done:
            continue
        tail = _TAIL.match(plain, anchor.end())
        done = anchor.end() if tail is None else tail.end()
        yield Found("address", (Place(turn, _start(plain, anchor.start()), done),))


def _start(plain: str, anchor: int) -> int:
    """Where the address that has a road at `anchor` begins."""
    begin = max(0, anchor - _REACH)
    before = _BEFORE.search(plain, begin, anchor)
    if before is None:
        return anchor
    start = before.start()
    town = _TOWN.search(plain, start, anchor)
    # Two signs at least name a town: the 成 of 成都市 is no 改成.
    limit = anchor if town is None else town.end() - 2
    for lead in _LEADS.finditer(plain, start, limit):
        if lead.end() < limit:
            start = lead.end()
    return start


def _areas(turn: int, plain: str) -> Iterator[Found]:
    for match in _AREAS.finditer(plain):
        yield Found("address", (Place(turn, _start(plain, match.end() - 1), match.end()),))


def _english(turn: int, plain: str) -> Iterator[Found]:
    for match in _ENGLISH.finditer(plain):
        yield Found("address", (Place(turn, *match.span()),))
