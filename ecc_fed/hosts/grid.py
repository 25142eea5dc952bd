"""A Flower `Grid` whose nodes are the shops of the hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from ecc_fed.federation.flower.internals import SERVER_NODE_ID, identify_process, new_run, stamp
from ecc_fed.federation.flower.nodes import NUM_PARTITIONS, PARTITION_ID
from ecc_fed.federation.wire import records
from ecc_fed.hosts.jobs import Hosts, Job

# on_progress(phase, server_round, shop_id, seconds), called as each shop finishes.
Progress = Callable[[str, int, str, float], None]

_RUN_ID = 1


class HostGrid(Grid):
    """Hands a round's messages to the hosts and waits for all of them.

    Nodes are numbered in the order of `shop_ids`, and replies come in the order of the messages,
    whatever the timing.
    """

    def __init__(self, hosts: Hosts, shop_ids: Sequence[str], on_progress: Progress | None = None) -> None:
        identify_process(_RUN_ID)
        self._hosts = hosts
        self._on_progress = on_progress
        self._run = new_run(_RUN_ID)
        self.shops = {SERVER_NODE_ID + 1 + index: shop_id for index, shop_id in enumerate(shop_ids)}
        self._replies: dict[str, Message] = {}

    def set_run(self, run: Any) -> None:
        """The run is this grid's own."""
        self._run = run

    @property
    def run(self) -> Any:
        """Flower's record of the run."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Flower's old spelling of `Message(...)`."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """One node per shop, in shop order."""
        return list(self.shops)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Runs the messages on their hosts; the replies then wait for `pull_messages`."""
        jobs = []
        for message in messages:
            stamp(message)
            jobs.append(Job(self.shops[message.metadata.dst_node_id], message, self._node_config(message)))
        what = {job.message.metadata.message_id: records.phase_and_round(job.message) for job in jobs}
        for finished in self._hosts.run(jobs):
            message_id = finished.reply.metadata.reply_to_message_id
            self._replies[message_id] = finished.reply
            if self._on_progress is not None and records.is_work(what[message_id][0]):
                self._on_progress(*what[message_id], finished.shop_id, finished.seconds)
        return list(what)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies, in the order of `message_ids`; each can be pulled once."""
        return [self._replies.pop(message_id) for message_id in message_ids if message_id in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """All replies. `timeout` has no meaning here: a shop on a host answers, or its host dies."""
        return self.pull_messages(self.push_messages(messages))

    def _node_config(self, message: Message) -> dict[str, str | int]:
        node_id = message.metadata.dst_node_id
        return {
            records.SHOP_ID: self.shops[node_id],
            PARTITION_ID: node_id - SERVER_NODE_ID - 1,
            NUM_PARTITIONS: len(self.shops),
        }
