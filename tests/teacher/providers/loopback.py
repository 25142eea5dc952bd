"""A server on 127.0.0.1 that speaks both wire formats: Gemini's `generateContent` and OpenAI's `chat/completions`.

Each request takes the next behaviour of `plan`; when the plan is empty the server answers well, with
the customer's last line behind "回复：", so that a reply tells which prompt it belongs to. The server keeps
books of its own: what each request used, and the bytes of both bodies.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL_VERSION = "cloud-2026-11-01"
USAGE = {"input": 120, "cached": 100, "output": 7}
SLOW_SECONDS = 0.6
LONG = "好" * 200_000
# Behaviours that answer in the form of the interface, with a usage that is there to be read.
STATED = {"ok", "empty_text", "long", "thoughts", "open_thoughts", "turns", "other_model", "cut", "blocked_reply"}
# Behaviours after which nobody but the server knows what it used.
UNSTATED = {"slow", "reset_early", "reset_late", "hang_up", "broken_json", "truncated", "absurd", "negative"}


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes

    @property
    def system(self) -> str:
        if "messages" in self.body:
            return str(self.body["messages"][0]["content"])
        return str(self.body["systemInstruction"]["parts"][0]["text"])

    @property
    def said(self) -> str:
        """The customer's part: everything that is not the system text."""
        if "messages" in self.body:
            return "".join(message["content"] for message in self.body["messages"][1:])
        return "".join(part["text"] for content in self.body["contents"] for part in content["parts"])

    @property
    def last_line(self) -> str:
        return self.said.splitlines()[-2].removeprefix("顾客：")


@dataclass(frozen=True)
class Booked:
    """One request in the server's books; it counted `up_bytes` as announced."""

    behaviour: str
    up_bytes: int
    down_bytes: int


def _gemini(text: str, finish: str = "STOP", blocked: str | None = None) -> dict[str, Any]:
    candidate = {"finishReason": finish, "index": 0}
    if text:
        candidate["content"] = {"role": "model", "parts": [{"text": text}]}
    usage = {
        "promptTokenCount": USAGE["input"],
        "cachedContentTokenCount": USAGE["cached"],
        "candidatesTokenCount": USAGE["output"],
        "totalTokenCount": USAGE["input"] + USAGE["output"],
    }
    body: dict[str, Any] = {"usageMetadata": usage, "modelVersion": MODEL_VERSION}
    return body | ({"promptFeedback": {"blockReason": blocked}} if blocked else {"candidates": [candidate]})


def _openai(text: str | None, finish: str = "stop") -> dict[str, Any]:
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "model": MODEL_VERSION,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": USAGE["input"],
            "completion_tokens": USAGE["output"],
            "prompt_tokens_details": {"cached_tokens": USAGE["cached"]},
        },
    }


def _gemini_error(status: int, name: str, message: str, details: Any = ()) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"code": status, "message": message, "status": name, "details": list(details)}}


def _openai_error(status: int, code: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"message": message, "type": "error", "code": code}}


_RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"}


def _answer(behaviour: str, request: Request, key: str) -> tuple[int, Any]:
    gemini = "generateContent" in request.path
    text = f"回复：{request.last_line}"
    if behaviour in ("ok", "slow", "truncated"):
        return 200, _gemini(text) if gemini else _openai(text)
    if behaviour == "blocked_reply":
        return 200, _gemini("", "SAFETY") if gemini else _openai(None, "content_filter")
    if behaviour == "blocked_prompt":
        return (
            (200, _gemini("", blocked="PROHIBITED_CONTENT"))
            if gemini
            else _openai_error(400, "content_filter", "the prompt was filtered")
        )
    if behaviour == "cut":
        return 200, _gemini(text, "MAX_TOKENS") if gemini else _openai(text, "length")
    if behaviour in ("empty_text", "long", "thoughts", "open_thoughts", "turns", "other_model", "absurd", "negative"):
        said = {
            "empty_text": "",
            "long": LONG,
            "thoughts": f"<think>{request.last_line}？</think>{text}",
            "open_thoughts": f"<think>{request.last_line}",
            "turns": f"{text}\n顾客：还有吗\n客服：没有了",
        }.get(behaviour, text)
        answer = _gemini(said) if gemini else _openai(said)
        if behaviour == "other_model":
            answer["modelVersion" if gemini else "model"] = "other-9000"
        tokens = {"absurd": 10**9, "negative": -5}.get(behaviour)
        if tokens is not None:
            answer["usageMetadata" if gemini else "usage"]["promptTokenCount" if gemini else "prompt_tokens"] = tokens
        return 200, answer
    if behaviour == "empty":
        return 200, {} if gemini else {"choices": []}
    status, name, message = {
        "rate_limited": (429, "RESOURCE_EXHAUSTED", "quota exceeded"),
        "unavailable": (503, "UNAVAILABLE", "overloaded"),
        "missing_model": (404, "NOT_FOUND", "model is not found"),
        "bad_key": (403 if gemini else 401, "PERMISSION_DENIED", f"the key {key} is not valid"),
        "bad_request": (400, "INVALID_ARGUMENT", "temperature is not supported"),
    }[behaviour]
    if gemini:
        return _gemini_error(status, name, message, [_RETRY_INFO] if behaviour == "rate_limited" else ())
    return _openai_error(status, name.lower(), message)


class Loopback:
    """The running server: `url`, the `plan` of the next behaviours, and the `requests` it got."""

    def __init__(self) -> None:
        self.plan: deque[str] = deque()
        self.requests: list[Request] = []
        self.books: list[Booked] = []
        self.slow_seconds = SLOW_SECONDS
        self.delays: dict[str, float] = {}
        self._lock = threading.Lock()
        self._sockets: set[Any] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.01), daemon=True)
        self._thread.start()

    def book(self, behaviour: str, up_bytes: int, down_bytes: int) -> None:
        with self._lock:
            self.books.append(Booked(behaviour, up_bytes, down_bytes))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            for connection in self._sockets:  # kept alive by a client, it would go on answering
                connection.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def reset(self) -> None:
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                with outer._lock:
                    behaviour = outer.plan.popleft() if outer.plan else "ok"
                if behaviour == "reset_early":
                    outer.book(behaviour, length, 0)
                    self.reset()
                    return
                raw = self.rfile.read(length)
                headers = {k.lower(): v for k, v in self.headers.items()}
                request = Request(self.path, headers, json.loads(raw), raw)
                with outer._lock:
                    outer.requests.append(request)
                if behaviour == "reset_late":
                    outer.book(behaviour, length, 0)
                    self.reset()
                    return
                if behaviour == "slow":
                    outer.book(behaviour, length, 0)  # nobody will listen any more
                time.sleep(outer.slow_seconds if behaviour == "slow" else outer.delays.get(request.last_line, 0.0))
                if behaviour == "hang_up":
                    outer.book(behaviour, length, 0)
                    self.close_connection = True
                    return
                if behaviour == "broken_json":
                    status, content = 200, b'{"candidates": [{"content": '
                else:
                    key = request.headers.get("x-goog-api-key") or request.headers.get("authorization", "")
                    status, answer = _answer(behaviour, request, key.split(" ")[-1])
                    content = json.dumps(answer).encode()
                said = content[: len(content) // 2] if behaviour == "truncated" else content
                if behaviour != "slow":
                    outer.book(behaviour, length, len(said))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                if behaviour == "rate_limited" and "generateContent" not in self.path:
                    self.send_header("Retry-After", "2")
                self.end_headers()
                self.wfile.write(said)
                if behaviour == "truncated":
                    self.close_connection = True

            def handle(self) -> None:
                with outer._lock:
                    outer._sockets.add(self.connection)
                # The caller goes away when its time is up; the socket is closed under us at the end.
                with suppress(OSError, ValueError):
                    super().handle()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@contextmanager
def loopback() -> Iterator[Loopback]:
    server = Loopback()
    try:
        yield server
    finally:
        server.close()
