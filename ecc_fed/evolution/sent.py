"""A shop's own ledger of what goes to the server, written before it does.

    shops/<shop_id>/sent.jsonl

The run's `egress.jsonl` has what arrived, as the server counts it, and each answer once. Here stands every answer that
was about to leave: also one that never arrived, because a process ended or the server no longer waited, and one that
was sent again to a server that was started again. Under Flower's engines it lies on the device, where no other ledger
does. An error that Flower itself, or the host, sends in a shop's place stands in the server's alone.

In a simulation nothing leaves the machine: what holds there is that the lines are with the system before the answer is
handed over. Nothing is synced, as with the cloud's journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ecc_fed.core.records import EgressEntry
from ecc_fed.core.rows import append_unsynced, read_rows
from ecc_fed.core.run_directory import cut_torn_tail

# Of a shop's folder.
SENT = "sent.jsonl"


def write_down(folder: Path, entries: Sequence[EgressEntry]) -> None:
    """Adds entries to the shop's file; a last line that a killed process left torn is cut.

    Raises:
        RunDirectoryError: the file is broken.
        WriteError: it cannot be written.
    """
    cut_torn_tail(folder / SENT)
    append_unsynced(folder / SENT, entries)


def read_sent(folder: Path) -> list[EgressEntry]:
    """What was about to leave so far.

    Raises:
        RunDirectoryError: the file is broken.
    """
    return read_rows(folder / SENT, EgressEntry, torn_tail=True) if (folder / SENT).exists() else []
