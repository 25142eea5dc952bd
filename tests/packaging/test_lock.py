"""constraints.txt and requirements.lock name the same versions, and the lock knows every file by its digest."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Which build of it is right depends on the machine.
_NOT_LOCKED = {"torch"}


def _pins(text: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}
    assert len(pins) == len(found), "a package is there twice"
    return pins


def test_the_lock_has_every_pinned_version_but_torch() -> None:
    constraints = _pins((ROOT / "constraints.txt").read_text())
    lock = _pins((ROOT / "requirements.lock").read_text())
    assert len(lock) > 100
    assert lock == {name: version for name, version in constraints.items() if name not in _NOT_LOCKED}
    assert set(constraints) >= _NOT_LOCKED
    assert f"torch=={constraints['torch']} &&" in (ROOT / "requirements.lock").read_text()


def test_every_locked_package_has_digests_and_no_address() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    whole = re.compile(r"[\w.-]+==\S+( ; .+)?( --hash=sha256:[0-9a-f]{64})+")
    entries = re.sub(r" ?\\\n\s+", " ", "\n".join(lines)).splitlines()
    assert [entry for entry in entries if not whole.fullmatch(entry)] == []
    assert not re.search(r"://|^-|file:", "\n".join(lines), re.MULTILINE)
