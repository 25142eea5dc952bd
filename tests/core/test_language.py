"""Languages by their letters."""

import pytest

from ecc_fed.core.language import language_of

ZH = ["亲，发什么快递？默认中通哦", "iPhone 12 Pro 有货吗 有的", "好的", "[ORDERID_10] 这个订单", "多少钱 59.9元"]
EN = ["Which courier do you use? We ship with DHL.", "Is it in stock? Yes, it is.", "thanks", "The pot holds 2 litres"]
DE = [
    "Welchen Versand nutzen Sie? Wir versenden mit DHL.",
    "Ist das lieferbar? Ja, sofort.",
    "Danke",
    "Was kostet der Topf",
]


@pytest.mark.parametrize(
    ("dialogues", "language"),
    [
        (ZH, "zh"),
        (EN, "en"),
        (DE, "other"),
        (["これはいくらですか 三百円です"], "ja"),
        (["三百円 送料無料 在庫有 です", "送料無料 です"], "ja"),  # more Han than kana, yet kana
        (["です 在庫有"] * 9 + ZH[:1], "mixed"),  # Han alone is Chinese, also where most are Japanese
        (["59.9", *ZH], "zh"),
        (["배송은 언제 되나요"], "ko"),
        (["Когда доставка?"], "ru"),
        (ZH + EN, "mixed"),
        (ZH * 9 + EN[:1] * 4, "zh"),  # 4 of 49
        (ZH * 9 + EN[:1] * 5, "mixed"),  # 5 of 50
        (EN * 9 + ZH[:1] * 4, "mixed"),  # 4 of 40
        (["59.9", "", "~~"], None),
        ([], None),
        (["[ORDERID_1] [USERNAME_2] 好"] * 3, "zh"),
    ],
)
def test_it_is_told_from_the_letters(dialogues: list[str], language: str | None) -> None:
    assert language_of(dialogues) == language
    assert language_of(reversed(dialogues)) == language
