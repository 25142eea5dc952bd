"""Finds e-mail addresses, and names of chat accounts behind the word that says what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ecc_fed.privacy.redaction.draft import Draft, Found, Place

# Around an "@": bounded, so that a text of nothing but letters is read once.
_LOCAL = re.compile(r"[A-Za-z0-9._%+-]{1,64}\Z")
_DOMAIN = re.compile(r"@ ?[A-Za-z0-9-]{1,63}(?: ?\. ?[A-Za-z0-9-]{1,63}){1,4}")
_LINK = r"(?:[ :：#=]|是|为|加|号|同号|(?<![A-Za-z])(?:is|id|number|no\.?|me at|at)(?![A-Za-z])){0,6}"
_ACCOUNT = re.compile(
    rf"(?:微信|威信|薇信|v信|(?<![A-Za-z])(?:wechat|weixin|vx|wx|whatsapp|line id))(?:号|id)?{_LINK}"
    r"([A-Za-z][A-Za-z0-9_-]{4,24})"
    rf"|(?:扣扣|企鹅号?|(?<![A-Za-z])qq)(?:号|号码)?{_LINK}([1-9][0-9]{{4,11}})(?![0-9])",
    re.IGNORECASE,
)
_NAMED_AFTER = re.compile(
    r"(?<![A-Za-z0-9_-])([A-Za-z][A-Za-z0-9_-]{5,24}) ?[,，]?(?:这个?|就)?是?我?的?(?:微信|威信|薇信|v信)",
    re.IGNORECASE,
)


def find_emails(draft: Draft) -> None:
    """Takes what stands around an "@" as an e-mail address does."""
    draft.take([found for turn, plain in enumerate(draft.plain) for found in _emails(turn, plain)])


def _emails(turn: int, plain: str) -> Iterator[Found]:
    at = plain.find("@")
    while at >= 0:
        # A space may stand before it: people write "name @ host".
        end = at - 1 if plain[at - 1 : at] == " " else at
        local = _LOCAL.search(plain[max(0, end - 64) : end])
        domain = _DOMAIN.match(plain, at)
        if local is not None and domain is not None:
            yield Found("email", (Place(turn, end - len(local[0]), domain.end()),))
        at = plain.find("@", at + 1)


def find_accounts(draft: Draft) -> None:
    """Takes WeChat and QQ accounts and the like."""
    draft.take([found for turn, plain in enumerate(draft.plain) for found in _accounts(turn, plain)])


def _accounts(turn: int, plain: str) -> Iterator[Found]:
    for match in _ACCOUNT.finditer(plain):
        yield Found("account", (Place(turn, *match.span(match.lastindex or 1)),))
    for match in _NAMED_AFTER.finditer(plain):
        yield Found("account", (Place(turn, *match.span(1)),))
