"""One POST of JSON with the standard library."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.proxies import is_loopback
from ecc_fed.teacher.providers.wire import WireMeter

# A reply is a few kilobytes; what never ends must not fill the memory.
_LARGEST_BYTES = 16 * 2**20
_LARGEST_ERROR_BYTES = 65_536
_PART_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a server said; `body` is the JSON, or None where an error came without any."""

    status: int
    body: Any
    text: str
    retry_after_seconds: float | None = None


def _proxies(url: str) -> dict[str, str]:
    """The proxies, by scheme, that the way to an address may take; ALL_PROXY stands for those that are not named."""
    if is_loopback(url):
        return {}
    named = urllib.request.getproxies()
    parts = urllib.parse.urlsplit(url)
    proxy = named.get(parts.scheme) or named.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return {}
    if urllib.parse.urlsplit(proxy).scheme not in ("", "http", "https"):
        raise ConfigError(
            f"The way to {url} goes by a proxy that is none for http ({proxy.partition('://')[0]}), which this teacher "
            f"cannot take. Set {parts.scheme.upper()}_PROXY to an http proxy, or list {parts.hostname} in NO_PROXY"
        )
    return {parts.scheme: proxy}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Another address has no claim to the prompt and the key."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


class JsonPoster:
    """Posts to one address: directly on this machine, else by the proxies of the environment, NO_PROXY honoured.

    Raises:
        ConfigError: it would go by a proxy of another kind than http.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self.wire = WireMeter()
        proxies = _proxies(url)
        self._proxied = bool(proxies)
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler(proxies))

    def __call__(self, fields: Mapping[str, Any], timeout_seconds: float) -> HttpReply:
        """The server's reply, errors of HTTP included.

        Raises:
            TimeoutError: no bytes for `timeout_seconds`.
            ConnectionError: no connection.
            ValueError: a reply of status 200 that is no JSON in UTF-8.
        """
        self.wire.begin()
        body = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
        self.wire.sent(len(body))
        request = urllib.request.Request(self._url, body, method="POST")
        request.add_header("Content-Type", "application/json")
        request.add_header("Accept", "application/json")
        if self._key:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        try:
            with self._opener.open(request, timeout=timeout_seconds) as response:
                content = self._read(response, _LARGEST_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                return _error_reply(error, self._read(error, _LARGEST_ERROR_BYTES))
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise error.reason from error
            by = " by the proxy of the environment" if self._proxied else ""
            raise ConnectionError(
                f"{self._url}{by}: {error.reason}; is the server running, and teacher.base_url right?"
            ) from error
        text = content.decode("utf-8")
        return HttpReply(200, json.loads(text), text)

    def _read(self, response: Any, most: int) -> bytes:
        """The body as far as it comes, counted."""
        content = b""
        try:
            while len(content) < most and (part := response.read1(min(_PART_BYTES, most - len(content)))):
                self.wire.received(len(part))
                content += part
        except http.client.IncompleteRead as error:
            self.wire.received(len(error.partial))
            raise
        if response.length and len(content) < most:  # the connection ended before its body
            raise ConnectionResetError(f"{response.length} bytes of the answer are missing")
        return content


def _error_reply(error: urllib.error.HTTPError, content: bytes) -> HttpReply:
    text = content.decode("utf-8", "replace")
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
