"""A cloud teacher of one's own on loopback, with books: OpenAI's chat interface, the same reply to the same prompt.

    python -m experiments.reliability.teacher --books FILE [--port PORT] [--delay SECONDS]

Prints its port, then serves until it is ended. Every request is written to FILE before it is answered, a JSON
object on a line: its digest, the bytes of its body and of the answer's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "stand-in"


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """A chat completion whose text follows from the prompt alone."""
    said = str(request["messages"][-1]["content"])
    digest = hashlib.sha256(said.encode()).hexdigest()
    text = f"亲，您好，已经为您查到，编号{int(digest[:6], 16)}，请放心哦"
    return {
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": len(said), "completion_tokens": len(text)},
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # all hosts may call at once

    def __init__(self, port: int, books: Path, delay_seconds: float) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.books, self.delay_seconds, self.writing = books, delay_seconds, threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def _send(self, content: dict[str, Any]) -> None:
        body = json.dumps(content, ensure_ascii=False).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        reply = answer(json.loads(body))
        entry = {
            "request": hashlib.sha256(body).hexdigest()[:16],
            "up": len(body),
            "down": len(json.dumps(reply, ensure_ascii=False).encode()),
        }
        with self.server.writing, self.server.books.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        time.sleep(self.server.delay_seconds)
        self._send(reply)

    def log_message(self, format: str, *arguments: Any) -> None:
        """The books say it all."""


def main() -> None:
    """Serves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=Path, required=True, help="where every request is written")
    parser.add_argument("--port", type=int, default=0, help="0 is any that is free")
    parser.add_argument("--delay", type=float, default=0.02, help="seconds before each answer")
    arguments = parser.parse_args()
    server = _Server(arguments.port, arguments.books, arguments.delay)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
