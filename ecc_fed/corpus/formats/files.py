"""A dialogue file as shops: read, clean, drop duplicates, partition, split in order, pair.

Sessions stay in the order of the file. A shuffle would put two chats of one customer that stand side by side
into training and test; where the file's order means nothing, the split by it is a draw anyhow.

The first pass streams the file: a session is in memory while it is cleaned, then lies in a temporary file
(`store.py`), so memory does not grow with the text (some 200 bytes per session stay). Duplicates and the partition work
on that store. Only the sessions that a shop's caps let in come back as pairs: with `max_pairs_per_shop` set, memory
is that of the pairs asked for; without it, `shops()` holds the whole corpus, as its caller wants.
"""

from __future__ import annotations

import re
from abc import ABC
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.protocols import Partition
from ecc_fed.core.records import Assignment, Pair, Shop
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.core.truth import ShopTruth
from ecc_fed.corpus.cleaning.duplicates import DuplicateFinder
from ecc_fed.corpus.cleaning.notices import NoticeRules
from ecc_fed.corpus.cleaning.sessions import clean_session
from ecc_fed.corpus.formats.order import BY_HASH, NameOrder
from ecc_fed.corpus.formats.reading import RawSession, ReadLog, check_file
from ecc_fed.corpus.formats.told_language import notes_on, told_language
from ecc_fed.corpus.pairs import PairLimits, checked_shop, collect_pairs, split_bounds
from ecc_fed.corpus.report import CorpusReport, LengthStats, ShopCount, SplitCount, StepCount
from ecc_fed.corpus.store import SessionStore, SessionWriter

Reader = Callable[[ReadLog], Iterator[RawSession]]
_LANGUAGE_NAME = re.compile(r"[a-z]{2,8}")


class _Placed(NamedTuple):
    """The sessions of a file, and which shop takes which: `members` holds their indices, shops in the order of ids."""

    sessions: SessionStore
    report: CorpusReport
    assignment: Assignment
    members: dict[str, list[int]]


@dataclass(frozen=True, kw_only=True)
class FileCorpus(ABC):
    """What the file corpora share; a format of your own is a subclass with a `format` name and a `reader`.

    `expected` says in errors what a line should look like, where the name alone does not; `order` says in the report
    what the order of the file's sessions, by which they are split, has to do with time.

    path:                      the file
    partition:                 gives sessions to shops
    num_shops:                 >= 1
    history_share:             first sessions of a shop, before the run          0 <= h
    test_share:                last sessions of a shop, held out                 0 < t, h + t < 1
    max_pairs_per_shop:        history and stream together, in their shares      >= 2 or None
    max_test_pairs_per_shop:   >= 1 or None
    max_context_tokens:        query and context together                        >= 1
    max_reply_tokens:          longer replies are dropped                        >= 1
    min_reply_tokens:          shorter replies are dropped                       >= 1
    max_pairs_per_session:     the last so many pairs of a session               >= 1 or None
    near_duplicate_similarity: Jaccard similarity from which a session is dropped, (0, 1] or None
    extra_notices:             regular expressions of messages to cut, matched in full
    count_tokens:              tokens of a text; characters unless told otherwise
    language:                  of the dialogues, such as zh; None is told from their letters (`core.language`)
    seed:                      of the partition and of the choice under the caps
    """

    format: ClassVar[str]
    expected: ClassVar[str] = ""
    order: ClassVar[str] = "Split in the file's order, which is not known to be that of time."
    reader: ClassVar[Reader]

    path: str
    partition: Partition
    num_shops: int
    history_share: float = 0.3
    test_share: float = 0.2
    max_pairs_per_shop: int | None = None
    max_test_pairs_per_shop: int | None = None
    max_context_tokens: int = 256
    max_reply_tokens: int = 512
    min_reply_tokens: int = 2
    max_pairs_per_session: int | None = None
    near_duplicate_similarity: float | None = 0.9
    extra_notices: tuple[str, ...] = ()
    count_tokens: Callable[[str], int] = len
    language: str | None = None
    seed: int = 0

    @classmethod
    def check_path(cls, path: str) -> None:
        """Refuses a path at which no file of this kind can lie, without reading it.

        Raises:
            CorpusError: says what lies there.
        """
        check_file(Path(path).expanduser(), cls._expects())

    @classmethod
    def _expects(cls) -> str:
        return cls.expected or f"the {cls.format} format"

    def shop_ids(self) -> tuple[str, ...]:
        """The shops, in the order of their ids.

        Raises:
            CorpusError: as `shops`.
        """
        return tuple(self._placed.members)

    def shop(self, shop_id: str) -> Shop:
        """One shop. The whole file is read to tell whose sessions are whose; no other shop's pairs are built,
        unless all were asked for before.

        Raises:
            CorpusError: as `shops`, or no such shop.
        """
        placed = self._placed
        if shop_id not in placed.members:
            names = ", ".join(list(placed.members)[:20])
            raise CorpusError(f"corpus file {self.path} has no shop {shop_id} with this partition; it has {names}")
        if "_loaded" in self.__dict__:
            return self._by_id[shop_id]
        return self._shop(placed, shop_id, self._limits(), Counter())

    def truth(self, shop_id: str) -> ShopTruth:
        """Nothing: nobody knows what is true of real dialogues."""
        return {}

    def shops(self) -> list[Shop]:
        """The shops, in the order of their ids. The file is read once, however often they are asked for.

        Raises:
            CorpusError: the file is missing, foreign or empty, or too small for the shops asked for.
        """
        return list(self._loaded[0])

    def report(self) -> CorpusReport:
        """What was read, cleaned, dropped and why, and how it was split into shops.

        Raises:
            CorpusError: as `shops`.
        """
        return self._loaded[1]

    @property
    def spoken(self) -> str | None:
        """The language of the whole file's dialogues; None where they hold no letter.

        Raises:
            CorpusError: as `shops`.
        """
        return self._placed.report.language

    @cached_property
    def _loaded(self) -> tuple[list[Shop], CorpusReport]:
        return self._split(self._placed)

    @cached_property
    def _by_id(self) -> dict[str, Shop]:
        return {shop.shop_id: shop for shop in self._loaded[0]}

    @cached_property
    def _placed(self) -> _Placed:
        self._limits()  # refuses wrong settings before a long file is read
        return self._place(*self.read())

    def read(self) -> tuple[SessionStore, CorpusReport]:
        """Cleaned sessions without duplicates, in the file's order, and the report so far (no shops yet).

        Raises:
            CorpusError: the file is missing, foreign or empty.
        """
        log = ReadLog(Path(self.path).expanduser(), self.format, self._expects())
        notices = NoticeRules(tuple(self.extra_notices))
        finder = DuplicateFinder(self.near_duplicate_similarity)
        writer = SessionWriter()
        turns = num_sessions = 0
        dropped_turns: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        names = NameOrder()
        for raw in self.sessions(log):
            num_sessions += 1
            names.add(raw.session_id)
            turns += len(raw.texts)
            agent_first, texts = clean_session(raw.by_agent, raw.texts, notices, dropped_turns, log.edits)
            if len(texts) < 2 + agent_first:
                dropped["no_answered_customer_turn" if len(texts) > agent_first else "no_customer_turn"] += 1
                dropped_turns["session_dropped"] += len(texts)
                continue
            session_id, shop = _printable(raw.session_id), _printable(raw.shop or "")
            finder.add(raw.session_id, agent_first, texts)
            writer.append(session_id, shop, raw.line_number, agent_first, texts)
        store = writer.finish()
        keep, duplicates = finder.find(store.text)
        kept = store.select(np.flatnonzero(keep))
        dropped += duplicates
        if len(kept) == 0:
            why = StepCount(num_sessions, 0, dropped).reasons() or "no session was found"
            needs = "A dialogue needs a customer turn that an agent answers."
            raise CorpusError(f"corpus file {log.path} holds no usable dialogue ({why}). {needs}")
        language = self.language or told_language(kept)
        report = CorpusReport(
            path=str(log.path),
            format=self.format,
            order=BY_HASH if names.by_hash else self.order,
            lines=StepCount(log.lines, log.lines - sum(log.dropped.values()), dict(log.dropped)),
            broken_lines=tuple(log.broken_lines),
            turns=StepCount(turns, turns - sum(dropped_turns.values()), dict(dropped_turns)),
            edits=dict(log.edits),
            sessions=StepCount(num_sessions, len(kept), dict(dropped)),
            language=language,
            notes=(*(f"{count} {what}" for what, count in log.notes.items()), *notes_on(language)),
        )
        return kept, report

    def sessions(self, log: ReadLog) -> Iterator[RawSession]:
        """What the format's reader makes of the file; a format with settings of its own overrides this."""
        return type(self).reader(log)

    def load_from(self, sessions: SessionStore, report: CorpusReport) -> tuple[list[Shop], CorpusReport]:
        """Shops and whole report from what `read` gave, for callers that read once and partition more than once.

        Raises:
            CorpusError: too few sessions for the shops asked for, or a shop without stream or test pairs.
        """
        return self._split(self._place(sessions, report))

    def _place(self, sessions: SessionStore, report: CorpusReport) -> _Placed:
        try:
            assignment = self.partition.assign(sessions, self.num_shops, derive_seed(self.seed, "partition"))
        except CorpusError as error:
            raise CorpusError(f"{error}{report.sessions.losses()}") from None
        members: dict[str, list[int]] = {}
        for i, shop_id in enumerate(assignment.shop_of):
            if shop_id is not None:
                members.setdefault(shop_id, []).append(i)
        return _Placed(sessions, report, assignment, dict(sorted(members.items())))

    def _split(self, placed: _Placed) -> tuple[list[Shop], CorpusReport]:
        """Every shop, its sessions in the file's order, and the whole report."""
        limits = self._limits()
        sessions, report, assignment, members = placed
        dropped: Counter[str] = Counter()
        shops = [self._shop(placed, shop_id, limits, dropped) for shop_id in members]
        num_placed = sum(map(len, members.values()))
        kept = [pair for shop in shops for pair in (*shop.history, *shop.stream, *shop.test)]
        answered = sum(int(sessions.answered[rows].sum()) for rows in members.values())
        count = self.count_tokens
        return shops, replace(
            report,
            placed=StepCount(len(sessions), num_placed, {"shop_left_out": len(sessions) - num_placed}),
            pairs=StepCount(answered, len(kept), dict(dropped)),
            lengths={
                "query": LengthStats.of(count(pair.query) for pair in kept),
                "context": LengthStats.of(sum(count(turn.text) for turn in pair.context) for pair in kept),
                "reply": LengthStats.of(count(pair.reply) for pair in kept),
            },
            shops=tuple(
                ShopCount(
                    shop.shop_id, len(members[shop.shop_id]), *map(_split_count, (shop.history, shop.stream, shop.test))
                )
                for shop in shops
            ),
            notes=(*report.notes, *assignment.notes),
        )

    def _limits(self) -> PairLimits:
        split_bounds(10**6, self.history_share, self.test_share)  # range check only
        for name, least in (("max_pairs_per_shop", 2), ("max_test_pairs_per_shop", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise CorpusError(f"corpus.{name} is {value}; set it to {least} or more, or to null.")
        if self.language is not None and not _LANGUAGE_NAME.fullmatch(self.language):
            raise CorpusError(
                f"corpus.language is {self.language!r}; give an ISO code such as zh or en, or null to have it told "
                "from the dialogues."
            )
        similarity = self.near_duplicate_similarity
        if similarity is not None and not 0 < similarity <= 1:
            raise CorpusError(f"corpus.near_duplicate_similarity is {similarity}; set it in (0, 1], or to null.")
        return PairLimits(
            max_context_tokens=self.max_context_tokens,
            max_reply_tokens=self.max_reply_tokens,
            min_reply_tokens=self.min_reply_tokens,
            max_pairs_per_session=self.max_pairs_per_session,
            count_tokens=self.count_tokens,
        )

    def _shop(self, placed: _Placed, shop_id: str, limits: PairLimits, dropped: Counter[str]) -> Shop:
        """One shop, with as many of its sessions as the caps let in."""
        sessions = placed.sessions.select(np.array(placed.members[shop_id]))
        description = placed.assignment.descriptions.get(shop_id, "")
        try:
            history_end, stream_end = split_bounds(len(sessions), self.history_share, self.test_share)
        except CorpusError as error:
            raise CorpusError(
                f"shop {shop_id}: {error}. Ask for fewer shops (corpus.num_shops) or raise partition.min_sessions."
            ) from error
        history_cap = stream_cap = None
        if self.max_pairs_per_shop is not None:
            history_cap = round(self.max_pairs_per_shop * self.history_share / (1 - self.test_share))
            history_cap = min(max(history_cap, 1), self.max_pairs_per_shop - 1)
            stream_cap = self.max_pairs_per_shop - history_cap
        seen: set[int] = set()
        parts: dict[str, tuple[Pair, ...]] = {}
        for split, start, end, cap in (
            ("history", 0, history_end, history_cap),
            ("stream", history_end, stream_end, stream_cap),
            ("test", stream_end, len(sessions), self.max_test_pairs_per_shop),
        ):
            rows = np.arange(start, end)
            if cap is not None:
                rng = derive_rng(self.seed, "cap", shop_id, split)
                rows = self._within_cap(rows, sessions.answered, cap, rng)
                left_out = int(sessions.answered[start:end].sum() - sessions.answered[rows].sum())
                if left_out:
                    dropped["over_shop_cap"] += left_out
            parts[split] = tuple(collect_pairs(sessions.select(rows), shop_id, limits, seen, dropped, cap))
        return checked_shop(Shop(shop_id, parts["history"], parts["stream"], parts["test"], description))

    @staticmethod
    def _within_cap(
        rows: npt.NDArray[np.int64], answered: npt.NDArray[np.int64], cap: int, rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Sessions drawn at random until they could fill the cap, in their order: the whole span stays covered."""
        order = rng.permutation(rows)
        enough = int(np.searchsorted(np.cumsum(answered[order]), cap)) + 1
        return np.sort(order[:enough])


def _printable(name: str) -> str:
    """A name of the user's, without the control characters that separate fields in the store."""
    return name if name.isprintable() else "".join(c for c in name if c.isprintable()).strip()


def _split_count(pairs: tuple[Pair, ...]) -> SplitCount:
    return SplitCount(len({pair.session_id for pair in pairs}), len(pairs))
