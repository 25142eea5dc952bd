"""What the customers of the few-shot examples have said: no reply to anybody else may hold it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.protocols import RedactedSession
from ecc_fed.core.records import Hidden, Restored
from ecc_fed.privacy.redaction.folding import plain_of, skeleton_of
from ecc_fed.privacy.redaction.known import Form, form_of, mentions
from ecc_fed.privacy.redaction.placeholders import TYPED


@dataclass(frozen=True)
class Others:
    """The examples' values and placeholders; `count` values were taken out of them."""

    forms: frozenset[Form]
    placeholders: frozenset[str]
    count: int

    @classmethod
    def of(cls, sessions: Sequence[RedactedSession]) -> Others:
        """Of all examples of one prompt."""
        hidden = [each for session in sessions for each in session.hidden if each.kind != TYPED]
        said = [each for each in hidden if each.placeholder]
        forms = frozenset(form_of(each.kind, each.value) for each in hidden if _is_sure(each))
        return cls(forms, frozenset(each.placeholder for each in said), len(said))

    def why_refused(self, reply: str, session: RedactedSession, restored: Restored) -> str:
        """Why a reply, as it came from the cloud, is not for the customer of `session`; empty: it is.

        A value that is this customer's too, or that they have said in the clear, is no other's.
        """
        if not self.placeholders.isdisjoint(restored.unknown):
            return "the reply holds a placeholder of an example's customer"
        own = {form_of(each.kind, each.value).bones for each in session.hidden}
        plain = plain_of(reply)[0]
        side = skeleton_of([(0, plain)])
        for form in self.forms:
            if form.bones in side.text and form.bones not in own and any(mentions([plain], side, form)):
                plains = [plain_of(turn.text)[0] for turn in session.turns]
                said = skeleton_of(list(enumerate(plains)))
                if not any(mentions(plains, said, form)):
                    return "the reply holds a value of an example's customer"
        return ""


def _is_sure(hidden: Hidden) -> bool:
    """A name or an address by its shape alone may be an everyday word, which half of all replies hold."""
    return not hidden.placeholder or hidden.kind not in ("name", "address")
