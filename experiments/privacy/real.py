"""What patterns find in real dialogues: JDDC's, where values once stood.

    python -m experiments.privacy.real jddc_sample.txt [--draws 20] [--seed 7] [--redaction NAME] [--model PATH]
                                       [--half even]

JDDC's owners took values out and left masks, many at wrong places: most of its `[姓名x]` stood for 谢谢 or a brand.
`jddc_marks.tsv` says, of every place that was judged by reading its dialogue, what a customer, an addressee or a
courier had there: line of the file, place in the message, class. It holds no text. `town` is a place without road or
number, as where a customer asks which villages are delivered to.

At the marks values are drawn anew, by the makers of `generated`; whatever else is masked becomes a short number or a
neutral word. So wordings are real, values are not. A mark over text that is not a mask keeps it.

Dialogues are of two halves, by their sessions' digests: the words that announce names were tuned on the even one.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from random import Random

from ecc_fed.core.errors import UserError
from ecc_fed.core.protocols import Redactor
from ecc_fed.core.records import Turn
from ecc_fed.core.statistics import Estimate, Units, bootstrap_mean
from ecc_fed.privacy.redaction.redactors import PatternRedaction
from experiments.privacy import generated
from experiments.privacy.names import NAMES, by_name
from experiments.privacy.scan import Haystack, squeezed

MARKS = Path(__file__).with_name("jddc_marks.tsv")
# Of the file that the marks are of.
SHA256 = "4a2bdc0c67f9f4a7226efa1a76a5f1ce040653f584f556f742650137ba20c98c"

HALVES = ("even", "odd")
_MASK = re.compile(r"\[([^\[\]x]{1,6})x\]")
_TOWNS = (
    "巴东县信陵镇",
    "修文县扎佐镇",
    "蒙城县乐土镇",
    "鲁甸县龙头山镇",
    "义县七里河镇",
    "温县祥云镇",
    "武平县十方镇",
)
_VILLAGES = ("", "", "东山村", "大湾村", "李庄村", "石桥村")
_NEUTRAL: Mapping[str, str] = {
    "链接": "https://item.example.com/",
    "站点": "营业部",
    "组织机构": "商贸公司",
    "姓名": "谢谢",
    "地址": "市区",
    "日期": "05月12日",
    "时间": "10:30",
    "邮箱": "邮箱",
}


def _street(rng: Random) -> str:
    """An address behind its province or city."""
    return generated.zh_address(rng).partition("市")[2]


def _town(rng: Random) -> str:
    return rng.choice(_TOWNS) + rng.choice(_VILLAGES)


MAKERS: Mapping[str, Callable[[Random], str]] = {
    "name": generated.zh_name,
    "phone": generated.zh_phone,
    "address": _street,
    "town": _town,
    "order": generated.order,
    "parcel": lambda rng: generated.order(rng)[:12],
    "id_card": generated.id_card,
    "bank_card": generated.bank_card,
    "email": generated.email,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A private value's place in a message."""

    start: int
    stop: int
    kind: str


@dataclass(frozen=True, slots=True)
class Message:
    """One line of the file."""

    session: str
    role: str
    text: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What became of one mark: its value was taken out whole; it is no longer in the text as a whole."""

    session: str
    kind: str
    whole: bool
    gone: bool


def read_marks(path: Path = MARKS) -> dict[int, tuple[Mark, ...]]:
    """By line of the corpus, from 1."""
    found: dict[int, list[Mark]] = {}
    for row in path.read_text(encoding="utf-8").splitlines()[1:]:
        line, start, stop, kind = row.split("\t")
        found.setdefault(int(line), []).append(Mark(int(start), int(stop), kind))
    return {line: tuple(marks) for line, marks in found.items()}


def read_messages(path: Path, marks: Mapping[int, Sequence[Mark]]) -> list[Message]:
    """The corpus' lines: session, user, role (0 is the customer), two more, query kind, text; tabs between.

    Raises:
        UserError: no such file, or not the one that was marked.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}. Give the JDDC sample that was marked.") from error
    if (digest := hashlib.sha256(raw).hexdigest()) != SHA256:
        raise UserError(f"{path} has the SHA-256 {digest[:12]}…; the marks are of another file, {SHA256[:12]}….")
    messages = []
    for number, line in enumerate(raw.decode("utf-8").splitlines(), 1):
        session, _, role, _, _, _, text = line.split("\t", 6)
        messages.append(Message(session, "customer" if role == "0" else "agent", text, tuple(marks.get(number, ()))))
    return messages


def filled(message: Message, rng: Random) -> tuple[str, list[tuple[str, str]]]:
    """The message with a value in every mask's place, and (class, value) of its marks."""
    parts, values, done = [], [], 0
    for mark in message.marks:
        said = message.text[mark.start : mark.stop]
        value = MAKERS[mark.kind](rng) if not _MASK.sub("", said) else _neutral(said, rng)
        parts += [_neutral(message.text[done : mark.start], rng), value]
        values.append((mark.kind, value))
        done = mark.stop
    return "".join([*parts, _neutral(message.text[done:], rng)]), values


def _neutral(text: str, rng: Random) -> str:
    """The text with nobody's values where masks are: at most three digits."""
    return _MASK.sub(lambda mask: _NEUTRAL.get(mask[1]) or str(rng.randint(1, 300)), text)


def sessions(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Dialogue by dialogue, in the file's order."""
    by_session: dict[str, list[Message]] = {}
    for message in messages:
        by_session.setdefault(message.session, []).append(message)
    yield from by_session.values()


def half_of(session: str) -> str:
    """The half that a dialogue is of: even or odd."""
    return HALVES[hashlib.sha256(session.encode()).digest()[-1] % 2]


def tried(dialogue: Sequence[Message], rng: Random, redactor: Redactor | None = None) -> tuple[list[Found], list[str]]:
    """One draw of a dialogue's values: what became of each, and all that was taken out besides."""
    drawn = [filled(message, rng) for message in dialogue]
    turns = [Turn(message.role, text) for message, (text, _) in zip(dialogue, drawn, strict=True)]
    session = (redactor or PatternRedaction()).redact(turns, None)
    taken = [squeezed(each.value) for each in session.hidden]
    found, meant = [], []
    for turn, (_, values) in zip(session.turns, drawn, strict=True):
        for kind, value in values:
            thin = squeezed(value)
            meant.append(thin)
            whole = any(thin in each for each in taken)
            found.append(Found(dialogue[0].session, kind, whole, not Haystack(turn.text).holds(value)))
    others = [
        f"{each.kind}: {each.value}"
        for each, thin in zip(session.hidden, taken, strict=True)
        if not any(_same(thin, one) for one in meant)
    ]
    return found, others


def _same(taken: str, value: str) -> bool:
    """Whether what was taken is the value, or the better half of one of the two: a word too long or too short."""
    shared = SequenceMatcher(None, taken, value, autojunk=False).find_longest_match().size
    return 2 * shared > min(len(taken), len(value))


def recall(found: Sequence[Found], measure: Callable[[Found], bool], seed: int) -> Estimate:
    """Over marks, with a 95% interval that draws dialogues."""
    # One "shop": JDDC's dialogues are of one platform.
    units = Units([0] * len(found), [one.session for one in found])
    estimate = bootstrap_mean([float(measure(one)) for one in found], units, seed)
    assert estimate is not None
    return estimate


def main(argv: Sequence[str] | None = None) -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--half", choices=HALVES, help="of the dialogues; without it all")
    parser.add_argument("--redaction", choices=NAMES, default="patterns")
    parser.add_argument("--model", help="the folder of the redaction model")
    arguments = parser.parse_args(argv)
    redactor = by_name(arguments.redaction, "zh", arguments.model)
    messages = read_messages(arguments.corpus, read_marks())
    if arguments.half is not None:
        messages = [one for one in messages if half_of(one.session) == arguments.half]
    found: list[Found] = []
    others = Counter[str]()
    for dialogue in sessions(messages):
        for draw in range(arguments.draws):
            rng = Random(f"{arguments.seed}/{dialogue[0].session}/{draw}")
            of_dialogue, beside = tried(dialogue, rng, redactor)
            found += of_dialogue
            if draw == 0:
                others.update(beside)
    print("| class | marks | dialogues | taken whole | gone |\n" + "|---" * 5 + "|")
    for kind, number in Counter(mark.kind for message in messages for mark in message.marks).most_common():
        rows = [one for one in found if one.kind == kind]
        cells = [_percent(recall(rows, measure, arguments.seed)) for measure in (_whole, _gone)]
        print(f"| {kind} | {number} | {len({one.session for one in rows})} | {' | '.join(cells)} |")
    print(f"\nTaken out besides, of {len(messages):,} messages: {others.total()}")
    for value, number in others.most_common():
        print(f"  {number} x {value}")


def _whole(found: Found) -> bool:
    return found.whole


def _gone(found: Found) -> bool:
    return found.gone


def _percent(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:  # one dialogue
        return f"{estimate.mean:.1%}"
    return f"{estimate.mean:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


if __name__ == "__main__":
    main()
