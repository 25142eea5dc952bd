"""A shop's side of the federation: a Flower `ClientApp`, plain and sequential.

The same app runs on a host, under `flwr run`, and on a SuperNode of Flower's deployment engine.
"""

from __future__ import annotations

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from ecc_fed.federation.flower.devices import device_and_shop
from ecc_fed.federation.wire import records

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """One round of evolution; the adapter goes up only if the server asks for it."""
    request = records.read_train_request(message.content)
    device, shop_id = device_and_shop(context)
    report = device.train(shop_id, request.server_round, request.incoming)
    return Message(records.train_reply(report, request.upload), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Answers and scores the shop's test pairs; only means go up."""
    request = records.read_evaluate_request(message.content)
    device, shop_id = device_and_shop(context)
    report = device.evaluate(shop_id, request.server_round, request.incoming, request.phase)
    return Message(records.evaluate_reply(report), reply_to=message)


@app.query("shop")
def shop(message: Message, context: Context) -> Message:
    """Tells the server which shop this node stands for."""
    _, shop_id = device_and_shop(context)
    return Message(RecordDict({records.CONFIG: ConfigRecord({records.SHOP_ID: shop_id})}), reply_to=message)
