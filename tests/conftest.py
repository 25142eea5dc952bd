"""The same tests on the same code give the same result: property-based tests draw the same examples every time."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import Phase, settings

with suppress(ImportError):
    import absl.logging

    # dp-accounting brings its handler, which would hold what pytest captures and close that, and with it every later
    # test, as soon as Hydra sets up logging anew. It closes no stream of Python's own.
    absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__

settings.register_profile("repeatable", derandomize=True, deadline=None)
# For `make mutants`: the first example that fails will do, however large.
settings.register_profile("mutants", settings.get_profile("repeatable"), phases=(Phase.explicit, Phase.generate))
settings.load_profile("repeatable")


def _caches() -> Iterator[Any]:
    """Everything in the package that `functools` caches."""
    for name, module in list(sys.modules.items()):
        if name.startswith("ecc_fed"):
            for value in list(vars(module).values()):
                for part in (value, *(vars(value).values() if isinstance(value, type) else ())):
                    if hasattr(part, "cache_clear"):
                        yield part


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take long come first, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_runtest_setup() -> None:
    """Forgets what the package has cached, while `make mutants` looks which test reaches what and tries a change.

    Else only the test that fills a cache would be known to reach what is behind it, and what stands in the cache of
    the process that mutants are forked from would hide the change.
    """
    if "MUTANT_UNDER_TEST" in os.environ:
        for cache in _caches():
            cache.cache_clear()
