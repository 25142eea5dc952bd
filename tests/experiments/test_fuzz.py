import time

import pytest

from ecc_fed.core.errors import ConfigError
from experiments.reliability import fuzz


def test_fuzzed_lines_and_overrides_end_in_a_corpus_a_config_or_one_clear_error() -> None:
    lines = fuzz.fuzz_lines(6000, seed=1)
    assert lines.tried == 6000 and lines.faults == []
    assert lines.outcomes["accepted"] > 0 and lines.outcomes["CorpusError"] > 0
    overrides = fuzz.fuzz_overrides(60, seed=1)
    assert overrides.tried == 60 and overrides.faults == []
    assert overrides.outcomes["ConfigError"] > 0


def test_a_fault_and_a_hang_are_found_with_their_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fuzz.Found()
    monkeypatch.setattr(fuzz, "LIMIT_SECONDS", 0.05)

    def fail() -> None:
        raise KeyError("a")

    def refuse() -> None:
        raise ConfigError("no")

    for seed, what in (("a", fail), ("b", refuse), ("c", lambda: time.sleep(9)), ("d", lambda: None)):
        found.hold(seed, what, lambda: "given")
    assert found.outcomes == {"FAULT": 2, "ConfigError": 1, "accepted": 1}
    assert found.faults == ["a: KeyError: 'a' from given", "c: Hang: nothing after 0.05 seconds from given"]
