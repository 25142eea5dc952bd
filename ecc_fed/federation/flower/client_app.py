"""A shop's side of the federation: a Flower `ClientApp`, plain and sequential.

The same app runs on a host, under `flwr run`, and on a SuperNode of Flower's deployment engine;
who composes it says where its device comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from ecc_fed.core.protocols import Device
from ecc_fed.core.records import EgressEntry, EvaluationReport
from ecc_fed.federation.secure_aggregation import wire
from ecc_fed.federation.secure_aggregation.client import answer, check_train, masked_reply, participant_of
from ecc_fed.federation.wire import records, replies

# The device that serves a node, and the shop that the node stands for.
DeviceOf = Callable[[Context], tuple[Device, str]]


@runtime_checkable
class WritesDown(Protocol):
    """A `Device` that keeps a ledger of its own of what goes to the server."""

    def leaving(self, shop_id: str, entries: Sequence[EgressEntry]) -> None:
        """Hears of every answer before it leaves; what is raised keeps it from it."""
        ...


def written_down(device: Device, shop_id: str, content: RecordDict, asked: Message) -> Message:
    """The answer, once the device has written down every byte of it."""
    answer = Message(content, reply_to=asked)
    if isinstance(device, WritesDown):
        _, server_round = records.phase_and_round(answer)
        device.leaving(shop_id, records.traffic_entries(shop_id, server_round, "up", answer))
    return answer


def client_app(device_of: DeviceOf) -> ClientApp:
    """A ClientApp whose messages go to the device of the node.

    Args:
        device_of: called for every message; what it raises is the node's reply.
    """
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        """One round of evolution; the adapter goes up only if the server asks for it."""
        request = records.read_train_request(message.content)
        device, shop_id = device_of(context)
        participant, up = participant_of(device, shop_id), request.exchange.up
        check_train(participant, message.content, request.server_round, bool(up))
        update = device.train(
            shop_id, request.server_round, request.incoming, request.exchange, request.control, request.public
        )
        answered = records.answered(message.content, shop_id)
        if participant is not None and up:
            reply = masked_reply(participant, update, message.content, answered)
        else:
            reply = replies.train_reply(update, up, answered, told=participant is None)
        return written_down(device, shop_id, reply, message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        """Answers and scores the shop's test pairs; only means go up."""
        request = records.read_evaluate_request(message.content)
        device, shop_id = device_of(context)
        report = device.evaluate(shop_id, request.server_round, request.incoming, request.phase)
        answered = records.answered(message.content, shop_id)
        told = report if participant_of(device, shop_id) is None else EvaluationReport(None)
        return written_down(device, shop_id, replies.evaluate_reply(told, answered), message)

    for query in wire.QUERIES.values():

        @app.query(query.removeprefix("query."))
        def secure(message: Message, context: Context) -> Message:
            """A stage of secure aggregation."""
            device, shop_id = device_of(context)
            return written_down(device, shop_id, answer(participant_of(device, shop_id), message, shop_id), message)

    @app.query("shop")
    def shop(message: Message, context: Context) -> Message:
        """Tells the server which shop this node stands for."""
        device, shop_id = device_of(context)
        reply = RecordDict({records.CONFIG: ConfigRecord({records.SHOP_ID: shop_id})})
        return written_down(device, shop_id, reply, message)

    return app
