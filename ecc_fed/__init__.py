"""End-cloud collaboration for e-commerce customer service, simulated: many shops, one base model.

Importing this package, or any room of it, has no side effects: no network, no environment
changes, no threads.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ecc_fed")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
