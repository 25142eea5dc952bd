"""One POST of JSON with the standard library."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

# A reply is a few kilobytes; what never ends must not fill the memory.
_LARGEST_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a server said; `body` is the JSON, or None where an error came without any."""

    status: int
    body: Any
    text: str
    retry_after_seconds: float | None = None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another address has no claim to the prompt and the key."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


class JsonPoster:
    """Posts to one address. Proxies are taken from the environment, as everywhere."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self._opener = urllib.request.build_opener(_NoRedirect)

    def __call__(self, fields: Mapping[str, Any], timeout_seconds: float) -> HttpReply:
        """The server's reply, errors of HTTP included.

        Raises:
            TimeoutError: no bytes for `timeout_seconds`.
            ConnectionError: no connection.
            ValueError: a reply of status 200 that is no JSON in UTF-8.
        """
        request = urllib.request.Request(self._url, json.dumps(fields, ensure_ascii=False).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        request.add_header("Accept", "application/json")
        if self._key:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        try:
            with self._opener.open(request, timeout=timeout_seconds) as response:
                content = response.read(_LARGEST_BYTES)
        except urllib.error.HTTPError as error:
            return _error_reply(error)
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise error.reason from error
            raise ConnectionError(
                f"{self._url}: {error.reason}; is the server running, and teacher.base_url right?"
            ) from error
        text = content.decode("utf-8")
        return HttpReply(200, json.loads(text), text)


def _error_reply(error: urllib.error.HTTPError) -> HttpReply:
    with error:
        text = error.read(65_536).decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    return HttpReply(error.code, body, text, retry_after_seconds(error.headers.get("Retry-After"), time.time()))


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """The header `Retry-After`: seconds, or a date after `now`; None if it is missing or neither."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (TypeError, ValueError):
        return None
