from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from ecc_fed.teacher.providers.gemini import GeminiTeacher
from ecc_fed.teacher.providers.openai_compatible import OpenAICompatibleTeacher

from .loopback import Loopback, loopback

KEY = "TestKey-5f1c9b2e7d"
PRICES = {"cloud-1": {"input": 2.0, "output": 10.0, "cached_input": 0.5}}


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", KEY)
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_GENAI_USE_VERTEXAI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def openai(server: Loopback, **changes: Any) -> OpenAICompatibleTeacher:
    settings: dict[str, Any] = {
        "model": "cloud-1",
        "base_url": f"{server.url}/v1",
        "api_key_env": "TEST_API_KEY",
        "prices": PRICES,
        "max_output_tokens": 64,
    }
    return OpenAICompatibleTeacher(**settings | changes)


def gemini(server: Loopback, sdk: str = "google-genai", **changes: Any) -> GeminiTeacher:
    settings: dict[str, Any] = {
        "model": "cloud-1",
        "sdk": sdk,
        "base_url": server.url,
        "api_key_env": "TEST_API_KEY",
        "prices": PRICES,
        "max_output_tokens": 64,
    }
    return GeminiTeacher(**settings | changes)


TEACHERS = {
    "google-genai": gemini,
    "google-generativeai": partial(gemini, sdk="google-generativeai"),
    "openai-compatible": openai,
}


@pytest.fixture(params=list(TEACHERS))
def open_teacher(request: pytest.FixtureRequest, server: Loopback) -> Any:
    """Opens a teacher of each kind against the server."""
    return partial(TEACHERS[request.param], server)
