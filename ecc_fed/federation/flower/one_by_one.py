"""Flower's grid with every reply fetched by itself.

Flower unpacks replies on the server, before any of them reaches a strategy, and all that came together in one call:
one that it cannot unpack (an array whose shape is no list of numbers) would end the run and lose the others. Here it
becomes an error reply of its sender.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid

from ecc_fed.federation.flower.internals import CLIENT_APP_RAISED, LINK_ERRORS, SERVER_NODE_ID


class OneByOne(Grid):
    """`grid` in all but that.

    Args:
        grid: one of Flower's engines.
        poll_seconds: between two looks for the replies that have not come.
    """

    def __init__(self, grid: Grid, poll_seconds: float = 1.0) -> None:
        self._grid = grid
        self._poll_seconds = poll_seconds

    def set_run(self, run: Any) -> None:
        """As the grid's."""
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        """As the grid's."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """As the grid's."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """As the grid's."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """As the grid's."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """As the grid's."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """All replies that come in time; the link's own failures are raised."""
        sent = list(messages)
        pushed = set(self._grid.push_messages(sent))
        waiting = {message.metadata.message_id: message for message in sent if message.metadata.message_id in pushed}
        deadline = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while True:
            for message_id in list(waiting):
                found = self._reply_to(waiting[message_id])
                if found:
                    del waiting[message_id]
                replies += found
            if not waiting or (deadline is not None and time.monotonic() > deadline):
                return replies
            time.sleep(self._poll_seconds)

    def _reply_to(self, message: Message) -> list[Message]:
        try:
            found = list(self._grid.pull_messages([message.metadata.message_id]))
        except LINK_ERRORS:
            raise
        except Exception as error:  # whatever Flower makes of foreign bytes
            reason = f"the reply cannot be unpacked: {type(error).__name__}: {error}"
            return [Message(Error(CLIENT_APP_RAISED, reason), reply_to=message)]
        # Where a reply's parts are missing, Flower answers in its own name.
        return [
            Message(reply.error, reply_to=message)
            if reply.has_error() and reply.metadata.src_node_id == SERVER_NODE_ID
            else reply
            for reply in found
        ]
