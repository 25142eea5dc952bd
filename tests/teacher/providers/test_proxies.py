"""Behind a proxy: a teacher on this machine is asked directly, one elsewhere by the proxy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Turn
from ecc_fed.teacher.providers.json_post import JsonPoster

from ..fakes import EXAMPLES, build_prompt
from .conftest import TEACHERS
from .loopback import Loopback

PROMPT = build_prompt(EXAMPLES, (Turn("customer", "在吗"),))
NOWHERE = "http://127.0.0.1:9"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Every kind of traffic is sent to a proxy that is not there, and nothing is spared by the user."""
    for name in (*VARIABLES, "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in VARIABLES:
        monkeypatch.setenv(name, NOWHERE)
        monkeypatch.setenv(name.upper(), NOWHERE)
    return monkeypatch


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """An http proxy that answers for everybody, and notes whom it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"by": "proxy"}')

        def log_message(self, *arguments: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", list(TEACHERS))
def test_a_teacher_on_this_machine_is_asked_directly(kind: str, proxied: pytest.MonkeyPatch, server: Loopback) -> None:
    (found,) = TEACHERS[kind](server).complete([PROMPT], 5)
    assert (found.outcome, found.text) == ("ok", "回复：在吗")


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_one_elsewhere_is_asked_by_the_proxy(
    variable: str, proxied: pytest.MonkeyPatch, proxy: tuple[str, list[str]]
) -> None:
    for name in VARIABLES:
        proxied.delenv(name)
        proxied.delenv(name.upper())
    proxied.setenv(variable, proxy[0])
    assert JsonPoster("http://teacher.example/v1/chat/completions", "")({"a": 1}, 5).body == {"by": "proxy"}
    assert proxy[1] == ["http://teacher.example/v1/chat/completions"]


def test_whom_the_user_spares_is_asked_directly(proxied: pytest.MonkeyPatch, server: Loopback) -> None:
    proxied.setenv("NO_PROXY", "teacher.invalid")
    with pytest.raises(ConnectionError, match=r"teacher\.invalid/v1: .*is the server running"):
        JsonPoster("http://teacher.invalid/v1", "")({}, 5)
    proxied.setenv("NO_PROXY", "other.invalid")
    with pytest.raises(ConnectionError, match=r"teacher\.invalid/v1 by the proxy of the environment: .*refused"):
        JsonPoster("http://teacher.invalid/v1", "")({}, 5)


def test_a_proxy_of_another_kind_is_told_by_its_kind_alone(proxied: pytest.MonkeyPatch) -> None:
    proxied.setenv("https_proxy", "socks5://user:secret@127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"none for http \(socks5\).* Set HTTPS_PROXY .*NO_PROXY") as told:
        JsonPoster("https://teacher.example/v1", "")
    assert "secret" not in str(told.value)
    JsonPoster("http://127.0.0.1:8000/v1", "")
