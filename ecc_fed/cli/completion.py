"""Completion in a shell, by Hydra's own plugins: `eval "$(ecc-fed -sc install=bash)"`.

Hydra completes the settings of a program that is one command. Of the line it gets what belongs to the settings;
commands and studies are completed here.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from itertools import pairwise

from ecc_fed.assembly.overrides import readable
from ecc_fed.cli.hydra_main import call_hydra
from ecc_fed.core.errors import UserError
from ecc_fed.runs.study import studies

_SHELLS = ("bash", "zsh", "fish")
_ASKED = ("install", "uninstall", "query")
_WITH_SETTINGS = ("run", "study", "tune", "corpus", "distill")


def complete(arguments: Sequence[str], commands: Sequence[str]) -> int:
    """Prints what a shell evaluates (`install=bash`), or the choices for the line in COMP_LINE (`query=bash`).

    Args:
        arguments: what follows the flag.
        commands: all that there are.

    Raises:
        UserError: neither is asked for.
    """
    asked, _, shell = arguments[0].partition("=") if arguments else ("", "", "")
    if len(arguments) != 1 or asked not in _ASKED or shell not in _SHELLS:
        raise UserError('Completion is installed by: eval "$(ecc-fed -sc install=bash)", or =zsh, or =fish.')
    if asked != "query":
        call_hydra(["--shell-completion", *arguments])
        return 0
    line = os.environ.get("COMP_LINE", "")
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    if len(words) <= 2:
        print("\n".join(commands))
    elif words[1] == "study" and len(words) == 3:
        print("\n".join(studies()))
    elif words[1] in _WITH_SETTINGS and not words[-1].startswith("-"):
        chosen = [f"experiment={words[2]}"] if words[1] == "study" else []
        # What stands behind a flag may be its value.
        settings = [word for before, word in pairwise(words[1:-1]) if "=" in word and "-" not in (before[:1], word[:1])]
        chosen += map(readable, settings)
        os.environ["COMP_LINE"] = " ".join(["ecc-fed", *chosen, words[-1]])
        with contextlib.redirect_stderr(io.StringIO()):  # the line that is being typed is no place for errors
            call_hydra(["--shell-completion", *arguments])
    return 0
