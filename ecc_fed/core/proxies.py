"""What is on this machine is never asked by way of a proxy."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Some programs read the one, some the other.
_VARIABLES = ("no_proxy", "NO_PROXY")


def is_loopback(url: str) -> bool:
    """Whether an address is of this machine alone."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def spare_loopback() -> None:
    """This machine's own addresses join the environment's list of those that need no proxy.

    For the libraries that read it, in this process and in those that it starts: Ray's above all.
    """
    listed = next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), "")
    known = [each.strip() for each in listed.split(",") if each.strip()]
    if "*" in known:
        return
    spared = ",".join([*known, *(name for name in _LOOPBACK if name not in known)])
    for name in _VARIABLES:
        os.environ[name] = spared
