import os

import pytest

from ecc_fed.core.proxies import is_loopback, spare_loopback


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://127.8.0.3/v1", True),
        ("http://localhost:11434", True),
        ("http://[::1]:8000/v1", True),
        ("https://ollama.localhost/v1", True),
        ("https://api.deepseek.com", False),
        ("http://10.0.0.1/v1", False),
        ("http://localhost.example.com", False),
    ],
)
def test_what_is_on_this_machine(url: str, here: bool) -> None:
    assert is_loopback(url) is here


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "a.example, 127.0.0.1"}, "a.example,127.0.0.1,localhost,::1"),
        ({"no_proxy": "b.example", "NO_PROXY": "c.example"}, "b.example,localhost,127.0.0.1,::1"),
    ],
)
def test_what_the_user_spares_is_kept(before: dict[str, str], after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    spare_loopback()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == after
    spare_loopback()
    assert os.environ["no_proxy"] == after
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_who_spares_everything_needs_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    spare_loopback()
    assert os.environ["NO_PROXY"] == "*" and "no_proxy" not in os.environ
