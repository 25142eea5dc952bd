"""The page's dialogues, outcome by outcome, and what its reader can choose them by."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from ecc_fed.core.rows import SampleRow
from ecc_fed.reporting.dialogues import Dialogue, choose
from ecc_fed.reporting.measures import all_right
from ecc_fed.reporting.study import Study

_MOST = 36
# A filter's value, and what the reader sees of it.
Option = tuple[str, str]
_FACTS = {"right": "right", "wrong": "wrong", "none": "none asked for"}
_JUDGED = {"accepted": "accepted", "refused": "not accepted", "none": "not judged"}


@dataclass(frozen=True)
class Part:
    """The dialogues of one outcome; `share`: of how many test queries they were drawn."""

    outcome: str
    share: str
    dialogues: tuple[Dialogue, ...]


@dataclass(frozen=True)
class Shown:
    """What the page shows. A filter's options are those that some dialogue has."""

    parts: tuple[Part, ...]

    @property
    def all(self) -> list[Dialogue]:
        """The dialogues in the page's order; never empty."""
        return [dialogue for part in self.parts for dialogue in part.dialogues]

    @property
    def seed(self) -> int:
        """The seed of the runs they are from."""
        return self.all[0].seed

    @property
    def variant(self) -> str:
        """Of a sweep, the setting that they are from."""
        return self.all[0].variant

    @property
    def outcomes(self) -> list[Option]:
        """Why they are shown."""
        return [(part.outcome, part.outcome) for part in self.parts]

    @property
    def shops(self) -> list[Option]:
        """Whose customers ask."""
        return _options(sorted({dialogue.before.shop_id for dialogue in self.all}))

    @property
    def intents(self) -> list[Option]:
        """What is asked about, where the corpus tells."""
        found = sorted({dialogue.before.intent for dialogue in self.all if dialogue.before.intent})
        return [(intent, intent.replace("_", " ")) for intent in found]

    @property
    def arms(self) -> list[Option]:
        """Whose replies stand below the reply before evolution."""
        return _options(dict.fromkeys(arm for dialogue in self.all for arm in dialogue.after))

    @property
    def facts(self) -> list[Option]:
        """Whether replies after evolution state the facts asked for."""
        return self._verdicts(facts_of, _FACTS)

    @property
    def judged(self) -> list[Option]:
        """What the judge says of replies after evolution."""
        return self._verdicts(judge_of, _JUDGED)

    def _verdicts(self, of: Callable[[SampleRow], str], labels: dict[str, str]) -> list[Option]:
        found = {of(row) for dialogue in self.all for row in dialogue.after.values()}
        return [(value, label) for value, label in labels.items() if value in found]


def _options(values: Iterable[str]) -> list[Option]:
    return [(value, value) for value in values]


def facts_of(row: SampleRow) -> str:
    """The reply's facts: "right", "wrong", or "none" where the query asks for none."""
    right = all_right(row)
    return "none" if right is None else "right" if right else "wrong"


def judge_of(row: SampleRow) -> str:
    """The judge's word: "accepted", "refused", or "none" where there was no cloud reply to judge by."""
    return "none" if row.accepted is None else "accepted" if row.accepted else "refused"


def shown(study: Study) -> Shown | None:
    """At most 36 dialogues, as many of each outcome as of any other; None where there is none."""
    chosen = choose(study, _MOST)
    parts = [
        Part(outcome, share, tuple(dialogues))
        for (outcome, share), dialogues in groupby(chosen, lambda dialogue: (dialogue.outcome, dialogue.share))
    ]
    return Shown(tuple(parts)) if parts else None
