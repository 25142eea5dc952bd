"""The same tests on the same code give the same result: property-based tests draw the same examples every time."""

import os
import sys

from hypothesis import Phase, settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
# For `make mutants`: the first example that fails will do, however large.
settings.register_profile("mutants", settings.get_profile("repeatable"), phases=(Phase.explicit, Phase.generate))
settings.load_profile("repeatable")


def pytest_sessionstart() -> None:
    """Forgets what the package has cached, where `make mutants` tries a change.

    It forks from a process that has run all tests before: what those left in caches would hide the change.
    """
    if "MUTANT_UNDER_TEST" not in os.environ:
        return
    for name, module in list(sys.modules.items()):
        if name.startswith("ecc_fed"):
            for value in list(vars(module).values()):
                for part in (value, *(vars(value).values() if isinstance(value, type) else ())):
                    if hasattr(part, "cache_clear"):
                        part.cache_clear()
