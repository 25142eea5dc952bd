"""Speaks as tldextract does: its own `extract` asks the network for the list of domains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ExtractResult:
    fqdn: str


class TLDExtract:
    def __init__(self, cache_dir="there is one", suffix_list_urls=("https://publicsuffix.org",)):
        self.offline = cache_dir is None and not suffix_list_urls

    def __call__(self, url):
        assert self.offline, "it would ask the network"
        host = url.rpartition("@")[2]
        return ExtractResult(host if host.rpartition(".")[2] in ("com", "cn", "uk") else "")


extract = TLDExtract()
