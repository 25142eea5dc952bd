"""Keys and SDKs: taken from where the user put them, and never shown.

Settings name the environment variable that holds a key; the key itself stands in no config, no
log and no message.
"""

from __future__ import annotations

import os
import re
import warnings
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ecc_fed.core.errors import ConfigError

# Upper case only: a key put here by mistake has small letters, and must not be repeated in a message.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


def read_key(variable: str) -> str:
    """The API key in the environment variable `variable`.

    Raises:
        ConfigError: no name of a variable, the variable is not set, or holds what no key can be.
    """
    if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
        raise ConfigError(
            "teacher.api_key_env must be the name of an environment variable in capital letters, such as "
            "GEMINI_API_KEY; the key itself belongs into that variable, never into a setting"
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(
            f"the teacher's API key is missing: the environment variable {variable} is not set. "
            f"Set it (export {variable}=...), name another one with teacher.api_key_env=NAME, "
            "or answer from the cache alone with teacher.replay=true"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError(f"the environment variable {variable} holds no API key: it has blanks or special characters")
    return key


def without_key(text: str, key: str) -> str:
    """`text` with the key, should a server have sent it back, struck out."""
    return text.replace(key, "[API key]") if key else text


def import_sdk(module: str, package: str, extra: str) -> Any:
    """The provider's SDK, imported now.

    Raises:
        ConfigError: the package is not installed; names the extra that brings it.
    """
    try:
        with warnings.catch_warnings():
            # google-generativeai says at each import that its support ended; its module here says so too.
            warnings.simplefilter("ignore", FutureWarning)
            return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f'this teacher needs the package {package}: pip install "ecc_fed[{extra}]" ({error})'
        ) from error


def checked_url(url: str) -> str:
    """`url` without a slash at its end.

    Raises:
        ConfigError: no http(s) address, or one with a password in it.
    """
    example = "give an address such as http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except (ValueError, AttributeError):
        raise ConfigError(f"teacher.base_url cannot be read: {example}") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        # Not repeated: it may hold a secret.
        raise ConfigError(f"teacher.base_url must hold no user, password or query: {example}, the key in api_key_env")
    if not valid:
        raise ConfigError(f"teacher.base_url={url!r} is no http address: {example}")
    return url.strip().rstrip("/")
