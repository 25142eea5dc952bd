"""Redactions by name, beside each other."""

from __future__ import annotations

import pytest

from ecc_fed.core.errors import UserError
from experiments.privacy import engines
from experiments.privacy.dialogues import simulated
from experiments.privacy.names import NAMES, by_name
from experiments.privacy.real import HALVES, half_of
from experiments.privacy.redaction import recall_on_sentences


def test_every_name_is_that_redactions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.privacy.names.PresidioRedaction", lambda *given, **more: ("presidio", given, more))
    monkeypatch.setattr("experiments.privacy.names.ModelRedaction", lambda *given, **more: ("model", given, more))
    assert [by_name(name).name for name in NAMES[:3]] == list(NAMES[:3])
    assert by_name("presidio_alone", "en") == ("presidio", ("en",), {"patterns": False})
    assert by_name("model", "en", "folder") == ("model", ("folder", "en"), {"patterns": True})
    with pytest.raises(UserError, match="--redaction model needs --model FOLDER"):
        by_name("model_alone")


def test_the_columns_are_those_of_each_alone(capsys: pytest.CaptureFixture[str]) -> None:
    dialogues = list(simulated(6, seed=3))
    rows = list(engines.recalls(["none", "patterns"], None, dialogues, 10, seed=3))
    assert all(shares[0] == 0 for *_, shares in rows)
    english = [(kind, shares[1]) for text, kind, _, shares in rows if text == "generated, en"]
    alone = [(kind, whole / 10) for kind, form, _, whole, _ in recall_on_sentences("en", 10, 3) if form == "as it is"]
    assert english == alone
    engines.main(["--redactions", "none", "patterns", "--dialogues", "3", "--generated", "2"])
    printed = capsys.readouterr().out
    assert "| generated, zh | phone | 2 | 0.0% | 100.0% |" in printed
    assert printed.count("\n| `") == 2


def test_every_dialogue_is_of_one_half() -> None:
    halves = [half_of(str(session)) for session in range(200)]
    assert set(halves) == set(HALVES) and 60 < halves.count("even") < 140
    assert half_of("a") == "odd"  # SHA-256 ends in …48bb
