from ecc_fed.core.records import OrderRecord, Restored, Turn
from ecc_fed.privacy.redaction import NoRedaction

TURNS = (Turn("customer", "电话13800001111"), Turn("agent", "好的"))


def test_no_redaction_changes_nothing_and_says_so():
    session = NoRedaction().redact(list(TURNS), OrderRecord(phone="13800001111"))
    assert session.turns == TURNS
    assert session.hidden == ()
    assert session.restore("[电话1]") == Restored("[电话1]")
    assert NoRedaction.name == "none"
