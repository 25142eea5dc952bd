"""A shop's side of the federation: a Flower `ClientApp`, plain and sequential.

The same app runs on a host, under `flwr run`, and on a SuperNode of Flower's deployment engine;
who composes it says where its device comes from.
"""

from __future__ import annotations

from collections.abc import Callable

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from ecc_fed.core.protocols import Device
from ecc_fed.core.records import EvaluationReport
from ecc_fed.federation.secure_aggregation import wire
from ecc_fed.federation.secure_aggregation.client import answer, check_train, masked_reply, participant_of
from ecc_fed.federation.wire import records, replies

# The device that serves a node, and the shop that the node stands for.
DeviceOf = Callable[[Context], tuple[Device, str]]


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
            return Message(masked_reply(participant, update, message.content, answered), reply_to=message)
        return Message(replies.train_reply(update, up, answered, told=participant is None), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        """Answers and scores the shop's test pairs; only means go up."""
        request = records.read_evaluate_request(message.content)
        device, shop_id = device_of(context)
        report = device.evaluate(shop_id, request.server_round, request.incoming, request.phase)
        answered = records.answered(message.content, shop_id)
        told = report if participant_of(device, shop_id) is None else EvaluationReport(None)
        return Message(replies.evaluate_reply(told, answered), reply_to=message)

    for query in wire.QUERIES.values():

        @app.query(query.removeprefix("query."))
        def secure(message: Message, context: Context) -> Message:
            """A stage of secure aggregation."""
            device, shop_id = device_of(context)
            return answer(participant_of(device, shop_id), message, shop_id)

    @app.query("shop")
    def shop(message: Message, context: Context) -> Message:
        """Tells the server which shop this node stands for."""
        _, shop_id = device_of(context)
        return Message(RecordDict({records.CONFIG: ConfigRecord({records.SHOP_ID: shop_id})}), reply_to=message)

    return app
