"""`ecc-fed chat`: one shop of a finished run in the terminal; a bad mark teaches it at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

from rich.console import Console

from ecc_fed.cli.arguments import CommandParser, split_run
from ecc_fed.cli.chat_replay import print_replay
from ecc_fed.cli.console import TextConsole
from ecc_fed.core.errors import UserError
from ecc_fed.core.records import Turn
from ecc_fed.evolution.review.session import Answer, Review, sole_chat
from ecc_fed.runs.finished_run import FinishedRun, chat_folder, list_shops, open_review, open_run

_HELP = """[bold]ecc-fed chat RUN --shop ID[/] \\[--replay] \\[overrides]   talk to one shop of a finished run

  RUN              the folder of a run; without --shop, its shops are listed
  --replay         answer every marked query again; table, and agreement of marks and automated score
  --allow PACKAGE  its config may name classes of this package
  GROUP.KEY=VALUE  a setting other than the run's, such as chat.steps=20 gateway.max_cost_usd=1 decoding.sample=false

Type as a customer would. Each reply is scored as in the run (evolution.reference says when the cloud is asked). Then:

{commands}

Kept in RUN/shops/ID/chat, beside the run's own states, which stay as they are: marks.jsonl (every mark, in plain
text), egress.jsonl (what left the shop), and round_N, the shop after its N-th lesson, from which the next chat goes on.
Remove the folder to go back to the shop as the run left it. The gateway's limits count anew in every chat.
"""
_COMMANDS = """  /good            this reply is good
  /bad             it is bad: the cloud is asked for the label, and the shop learns it at once
  /better TEXT     it is bad, and this would be better: the shop learns it at once, no cloud is asked
  /new             a new dialogue: the shop forgets what was said
  /help            this list
  /quit            the end; so are end of input, Ctrl-D and Ctrl-C"""
_CUSTOMER = "customer> "


def main(arguments: list[str]) -> int:
    """Talks or replays; returns the exit code."""
    parser = CommandParser(_HELP.format(commands=_COMMANDS))
    parser.add_argument("--shop")
    parser.add_argument("--replay", action="store_true")
    found, rest = parser.read(arguments)
    root, overrides = split_run(rest, "ecc-fed chat RUN --shop ID")
    run = open_run(root, overrides, found.allow)
    shop_id = found.shop
    if shop_id is None or shop_id not in run.shop_ids:
        given = "Name a shop with --shop" if shop_id is None else f"There is no shop {shop_id}"
        raise UserError(f"{given}. The shops of {root}: {list_shops(run)}.")
    console = TextConsole(soft_wrap=True, highlight=False)
    if found.replay:
        print_replay(_opened(run, shop_id), console)
        return 0
    with sole_chat(chat_folder(run, shop_id)):
        Chat(_opened(run, shop_id), console).talk()
    return 0


def _opened(run: FinishedRun, shop_id: str) -> Review:
    with TextConsole(stderr=True).status("Loading the models"):
        return open_review(run, shop_id)


class Chat:
    """The terminal's side of a review."""

    def __init__(self, review: Review, console: Console) -> None:
        self._review, self._console = review, console
        self._context: tuple[Turn, ...] = ()
        self._answer: Answer | None = None
        self._marked = 0

    def talk(self) -> None:
        """Reads lines until the end; Ctrl-C ends it as well, and what was marked and learned is kept."""
        review = self._review
        self._tell(f"{review.shop.shop_id}: {review.shop.description or 'a shop'}. /help lists the commands.")
        if review.lessons:
            self._tell(f"It goes on from {review.state_folder}, after {review.lessons} lessons.")
        asked = list(dict.fromkeys(pair.query for pair in review.shop.test))[:3]
        if asked:
            self._tell(f"Its customers ask things like: {' | '.join(asked)}")
        with suppress(KeyboardInterrupt):
            for line in _lines(self._console):
                text = line.strip()
                if text == "/quit":
                    break
                if text:
                    self._hear(text)
        self._console.print()
        kept = f"{self._marked} marks in {review.marks_path}." if self._marked else "No mark was given."
        state = f" The shop as it is now: {review.state_folder}." if review.lessons else ""
        self._tell(f"{kept}{state}")

    def _hear(self, text: str) -> None:
        command, _, rest = text.partition(" ")
        if not text.startswith("/"):
            self._ask(text)
        elif command == "/help":
            self._console.print(_COMMANDS, markup=False)
        elif command == "/new":
            self._context, self._answer = (), None
            self._tell("A new dialogue.")
        elif command in ("/good", "/bad", "/better"):
            self._mark(command, rest.strip())
        else:
            self._tell(f"There is no command {command}. /help lists them.")

    def _ask(self, query: str) -> None:
        self._console.print(f"{self._review.shop.shop_id}> ", end="", style="bold cyan", markup=False)
        answer = self._review.ask(self._context, query, self._say)
        self._console.print()
        self._print_scores(answer)
        self._answer = answer
        self._context = (*answer.pair.prompt, Turn("agent", answer.reply))

    def _say(self, piece: str) -> None:
        self._console.print(piece, end="", markup=False)
        self._console.file.flush()

    def _mark(self, command: str, better: str) -> None:
        answer = self._answer
        if answer is None:
            self._tell("There is no reply to mark: ask something first.")
            return
        if command != "/better" and better:
            self._tell(f"{command} takes no text; /better TEXT does.")
            return
        if command == "/better" and not better:
            self._tell("Give the better answer: /better TEXT")
            return
        if command == "/good":
            self._review.mark(answer, "good")
            self._marked, self._answer = self._marked + 1, None
            self._tell("Kept.")
            return
        learned = self._review.mark(answer, "better" if better else "bad", better or None)
        self._marked += 1
        if learned.label is None:
            self._tell("Kept, but the cloud gave no label to learn. Give the right answer yourself: /better TEXT")
            return
        source = "your answer" if better else f"the cloud's ({learned.label.model_version})"
        self._tell(f"Learned {source}: {learned.label.reply}\n{_steps(learned.losses)} Asked again:")
        # What was said wrongly is taken back, or the dialogue would go on from it.
        self._context = answer.pair.context
        self._ask(answer.pair.query)

    def _print_scores(self, answer: Answer) -> None:
        judgement, cloud = answer.judgement, answer.cloud
        if self._review.withheld is not None:
            self._tell(f"no score. {self._review.withheld}")
            return
        if judgement is None or cloud is None:
            why = "the cloud was not asked" if cloud is None else f"no cloud answer ({cloud.outcome}: {cloud.detail})"
            self._tell(f"relevance {answer.relevance:.2f}; no final score: {why}")
            return
        verdict = "accepted" if judgement.accepted else "to be escalated"
        theta = "" if judgement.relevance_trusted else ", which Theta leaves out"
        self._tell(
            f"final score {judgement.final_score:.2f} ({verdict}, the bar is {self._review.accept_score:.2f}) = "
            f"similarity {judgement.similarity:.2f} to the cloud's answer, relevance {judgement.relevance:.2f}{theta}\n"
            f"the cloud ({cloud.model_version}): {cloud.text}"
        )

    def _tell(self, text: str) -> None:
        for line in text.split("\n"):
            self._console.print(f"  {line}", style="dim", markup=False)


def _steps(losses: Sequence[float]) -> str:
    if not losses:
        return "No model to train: the shop answers from its examples, and this is one of them now."
    return f"{len(losses)} steps, loss {losses[0]:.2f} -> {losses[-1]:.2f}."


def _lines(console: Console) -> Iterator[str]:
    """What the user types; from a pipe each line is shown, so that the transcript reads like a chat."""
    at_terminal = sys.stdin.isatty()
    if at_terminal:
        with suppress(ImportError):
            import readline  # noqa: F401  # input() then edits whole characters and remembers lines
    else:
        reconfigure = getattr(sys.stdin, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    while True:
        try:
            line = input(_CUSTOMER) if at_terminal else sys.stdin.readline()
        except EOFError:
            return
        except UnicodeDecodeError:
            console.print("  That was no text in this terminal's encoding.", style="dim")
            continue
        if not at_terminal:
            if not line:
                return
            console.print(f"{_CUSTOMER}{line.rstrip()}", markup=False)
        # A lone surrogate, as a terminal gives for bytes that are no text, has no place in a dialogue.
        yield line.encode("utf-8", "replace").decode()
