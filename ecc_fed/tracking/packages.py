"""Whether what a tracker needs is installed, told without importing it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence

from ecc_fed.core.errors import ConfigError


def require_packages(tracker: str, modules: Sequence[str]) -> None:
    """Passes where all `modules` can be imported.

    Raises:
        ConfigError: names the first that is missing, and the extra of the same name as the tracker.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise ConfigError(
                f"tracker={tracker} needs the package {module}, which is not installed: "
                f'pip install "ecc_fed[{tracker}]", or set tracker=none.'
            )


def forget_variables(prefix: str) -> None:
    """Takes what begins with `prefix` out of this process's environment: it could send a store elsewhere."""
    for name in [name for name in os.environ if name.startswith(prefix)]:
        del os.environ[name]
