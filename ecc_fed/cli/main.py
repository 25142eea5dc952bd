"""`ecc-fed COMMAND`: each command in its own module, imported when it is asked for."""

from __future__ import annotations

import difflib
import errno
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping

from rich.console import Console

from ecc_fed import __version__
from ecc_fed.cli.console import TextConsole, take_any_letter
from ecc_fed.cli.stopping import Stop, stopping
from ecc_fed.cli.streams import lasting_output, to_nowhere
from ecc_fed.core.cpus import limit_threads
from ecc_fed.core.errors import EccError, UserError
from ecc_fed.core.importing import collector_paused
from ecc_fed.core.outside_text import cut
from ecc_fed.core.platforms import check_platform

# What a file system says of a path that it cannot look at, whatever asked for it.
_UNUSABLE_NAMES = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS)
# They warn whoever calls them; what a user has to know is told in our words.
_LIBRARIES = ("flwr", "peft", "ray", "torch", "transformers")
# A command's arguments -> its exit code.
Command = Callable[[list[str]], int]


def _run() -> Command:
    from ecc_fed.cli.run import main

    return main


def _study() -> Command:
    from ecc_fed.cli.study import main

    return main


def _tune() -> Command:
    from ecc_fed.cli.tune import main

    return main


def _report() -> Command:
    from ecc_fed.cli.report import main

    return main


def _corpus() -> Command:
    from ecc_fed.cli.corpus import main

    return main


def _convert_chatglm3() -> Command:
    from ecc_fed.cli.convert_chatglm3 import main

    return main


def _distill() -> Command:
    from ecc_fed.cli.distill import main

    return main


def _chat() -> Command:
    from ecc_fed.cli.chat import main

    return main


def _cross() -> Command:
    from ecc_fed.cli.cross import main

    return main


def _attack() -> Command:
    from ecc_fed.cli.attack import main

    return main


def _export() -> Command:
    from ecc_fed.cli.export import main

    return main


def _completion() -> Command:
    from ecc_fed.cli.completion import complete

    return lambda arguments: complete(arguments, list(COMMANDS))


# name -> (what imports it, one line)
COMMANDS: Mapping[str, tuple[Callable[[], Command], str]] = {
    "run": (_run, "one run, or a sweep with -m"),
    "study": (_study, "all arms and seeds of a file in conf/experiment, side by side"),
    "tune": (_tune, "a search for settings that make a number of summary.json large"),
    "report": (_report, "tables and plots from finished runs"),
    "cross": (_cross, "the adapters of a finished run on every shop's questions"),
    "attack": (_attack, "what the adapters of a finished run tell of the dialogues behind them"),
    "export": (_export, "an adapter of a finished run for other programs: peft's format, or merged into its base"),
    "corpus": (_corpus, "what was read, cleaned, dropped and why, and how it was split into shops"),
    "convert-chatglm3": (_convert_chatglm3, "an original ChatGLM3 checkpoint, once, to transformers' own"),
    "distill": (_distill, "the cloud's replies to a corpus, as a data set"),
    "chat": (_chat, "talk to a shop of a finished run; a bad mark teaches it at once"),
}

# Hydra's flag for completion in a shell, with or without a command before it.
_COMPLETION = ("-sc", "--shell-completion")
# Commands whose work goes on where nobody reads what they print.
_WORTH_MORE = (["run"], ["study"], ["tune"], ["distill"])

_HELP = """[bold]ecc-fed[/] {version}: end-cloud collaboration for e-commerce customer service, simulated

[bold]Usage[/]  ecc-fed COMMAND \\[overrides]

{commands}

[bold]Start here[/]
  ecc-fed study quickstart                          five arms on simulated shops: no network, no key, no GPU
  ecc-fed run arm=aggregated seed=1                 one run
  ecc-fed run corpus=jddc corpus.path=FILE          real dialogues
  ecc-fed run end_model.path=FOLDER                 any Hugging Face causal LM in place of the tiny one
  ecc-fed run -m arm=local,aggregated seed=0,1,2    a sweep
  ecc-fed COMMAND --help                            more about one command
"""


def _print_help(console: Console) -> None:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  [cyan]{name:<{width}}[/]  {line}" for name, (_, line) in COMMANDS.items())
    console.print(_HELP.format(version=__version__, commands=lines), markup=True, highlight=False)


def quiet_libraries() -> None:
    """No telemetry and no chatter from the libraries below, unless the user has set it otherwise."""
    for name, value in {
        "FLWR_TELEMETRY_ENABLED": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # names optional kernels it did not find
    if not sys.warnoptions:
        for library in _LIBRARIES:
            warnings.filterwarnings("ignore", module=rf"{library}\.")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # says where it keeps its cache where home is read-only


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit code.

    2 for the user's mistakes, 130 after Ctrl-C, 143 after SIGTERM, 129 after a closed terminal.
    """
    given = sys.argv[1:] if arguments is None else arguments
    take_any_letter()
    with lasting_output(stdout=given[:1] in _WORTH_MORE), stopping() as stop:
        return _main(given, stop)


def _main(given: list[str], stop: Stop) -> int:
    console = TextConsole(stderr=True)
    if not given or given[0] in ("-h", "--help", "help"):
        _print_help(TextConsole())
        return 0 if given else 2
    if "--version" in given[:2]:
        TextConsole().print(__version__, highlight=False)
        return 0
    command, rest = given[0], given[1:]
    load = COMMANDS[command][0] if command in COMMANDS else None
    for flag in _COMPLETION:
        if flag in given:
            load, rest = _completion, given[given.index(flag) + 1 :]
    if load is None:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        text = f"There is no command {command}.{hint} Commands: {', '.join(COMMANDS)}."
        console.print(cut(text), markup=False, highlight=False, soft_wrap=True)
        return 2
    quiet_libraries()
    limit_threads()
    try:
        check_platform()
        with collector_paused():
            run = load()
        code = run(rest)
        return code if stop.number is None else stop.exit_code
    except EccError as error:
        console.print("Error:", end=" ", style="red")
        console.print(cut(str(error)), markup=False, highlight=False, soft_wrap=True)
        return error.exit_code
    except SystemExit as ended:  # argparse after --help, Hydra after an error that it has printed
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt as stopped:
        way = "".join(f" {text}" for text in stopped.args)
        console.print(f"Stopped. What was finished is kept.{way}", markup=False, highlight=False, soft_wrap=True)
        return stop.exit_code
    except BrokenPipeError:
        to_nowhere(sys.stdout)
        return 1
    except OSError as error:
        if error.errno not in _UNUSABLE_NAMES or error.filename is None:
            raise
        console.print("Error:", end=" ", style="red")
        text = f"{cut(str(error.filename), 200)}: {error.strerror}. Give another path."
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        return UserError.exit_code


if __name__ == "__main__":
    sys.exit(main())
