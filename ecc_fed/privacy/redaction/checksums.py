"""Numbers that prove themselves."""

from __future__ import annotations

from datetime import date

# GB 11643-1999: weights 2^(17 - i) mod 11 of the first 17 digits, and the check character by the sum mod 11.
_WEIGHTS = tuple(pow(2, 17 - place, 11) for place in range(17))
_CHECKS = "10X98765432"


def is_id_card(number: str) -> bool:
    """Whether 18 characters are a Chinese identity card's number: a date of birth, and the check character."""
    if len(number) != 18 or not (number[:17].isascii() and number[:17].isdigit()):
        return False
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number, strict=False))
    return number[17].upper() == _CHECKS[total % 11]


def passes_luhn(number: str) -> bool:
    """Whether 13 to 19 digits pass ISO/IEC 7812's check: every second one from the right doubled, digit sums mod 10."""
    if not (13 <= len(number) <= 19 and number.isascii() and number.isdigit()):
        return False
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0
