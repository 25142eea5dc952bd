"""Redaction: what every turn passes before it leaves a shop.

A redactor satisfies `core.protocols.Redactor`. The gateway calls it for the query's turns and for the few-shot
examples, writes its `name` into the ledger beside the bytes it let through, and keeps what it hid from everybody
else's replies.

`plain` is none, `redactors` the two that work. `folding` has the forms in which texts are read; `known`, `numbers`,
`split`, `accounts`, `addresses` and `names` find values; `placeholders` and `session` put them out and back; `others`
guards replies.
"""

from ecc_fed.privacy.redaction.plain import NoRedaction

__all__ = ["NoRedaction"]
