"""End-cloud collaboration for e-commerce customer service, simulated: many shops, one base model.

    result = ecc_fed.run(["arm=local", "corpus.num_shops=2"], out="runs/mine")
    result = ecc_fed.open("runs/mine")
    result.summary, result.samples, result.metrics, result.updates, result.egress, result.report

Importing this package, or any room of it, has no side effects: no network, no environment
changes, no threads.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ecc_fed")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_API = ("Result", "open", "run")


def __getattr__(name: str) -> object:
    """`run`, `open` and `Result` of `ecc_fed.api`, imported when one is asked for: with them come Hydra and the rooms.

    By name, so that whoever imports this package for its version does not depend on the rooms above.
    """
    if name in _API:
        import_module("ecc_fed.core.platforms").check_platform()
        return getattr(import_module("ecc_fed.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_API})
