"""Engines of others, as far as they are here: presidio's stand-in and itself, and a token classifier made by hand."""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from .handmade import save_classifier

STAND_IN = Path(__file__).with_name("stand_in")
_MODULES = ("presidio_analyzer", "tldextract")


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names, telephones and an organisation, in the labels of three conventions."""
    labels = {"王": "B-PER", "李": "B-PER", "志": "I-PER", "强": "I-PER", "芳": "I-PER"}
    labels |= {"138": "B-private_phone", "##0000": "I-private_phone", "##1111": "I-private_phone"}
    labels |= {"京": "B-ORG", "东": "I-ORG", "扣": "qq", "Smith": "S-NAME", "May": "S-NAME"}
    return save_classifier(tmp_path_factory.mktemp("classifier"), labels)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What speaks as presidio does, in its place."""
    real = _taken_out()
    monkeypatch.syspath_prepend(str(STAND_IN))
    yield
    _taken_out()
    sys.modules.update(real)


@pytest.fixture(params=["stand-in", "real"])
def presidio(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Either of the two, without a network; what is told of one must be true of the other."""
    if request.param == "stand-in":
        request.getfixturevalue("stand_in")
    elif importlib.util.find_spec("presidio_analyzer") is None:
        pytest.skip("needs pip install 'ecc-fed[presidio]'")

    def none(*address: object, **more: object) -> None:
        raise AssertionError(f"asked the network for {address}")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, none)
    monkeypatch.setattr(socket, "getaddrinfo", none)
    return str(request.param)


def _taken_out() -> dict[str, ModuleType]:
    """The modules of either, which the next import then reads anew."""
    return {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in _MODULES}
