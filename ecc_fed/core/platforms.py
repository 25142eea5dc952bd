"""Systems that a run works on."""

from __future__ import annotations

import sys

from ecc_fed.core.errors import UserError


def check_platform() -> None:
    """Refuses Windows, whose files and processes lack what runs rely on: locks, limits and signals.

    Raises:
        UserError: this is Windows.
    """
    if sys.platform == "win32":
        raise UserError(
            "ecc_fed runs on Linux and macOS, and not on Windows itself. Install it in WSL2, Windows' own Linux: "
            "`wsl --install`, then in its shell as on any Linux."
        )
