"""Flower's private parts, watched: a new Flower version that moves one fails here, by name."""

from importlib.metadata import version

from flwr.app import Error, Message, RecordDict
from flwr.supercore import telemetry
from flwr.supercore.task_identity import TaskIdentity

from ecc_fed.federation.flower import internals


def test_the_installed_flower_is_one_whose_private_parts_were_checked():
    installed = tuple(int(part) for part in version("flwr").split(".")[:2])
    assert internals.SUPPORTED_FLOWER == ((1, 41),)
    assert installed in internals.SUPPORTED_FLOWER, (
        f"Flower {version('flwr')} is new: if the other tests here pass, add it to SUPPORTED_FLOWER"
    )


def test_a_process_that_identified_itself_can_write_messages_and_read_replies():
    internals.identify_process(5)
    assert (TaskIdentity.run_id, TaskIdentity.node_id) == (5, internals.SERVER_NODE_ID)
    message = Message(RecordDict(), 9, "train")
    message_id = internals.stamp(message)
    assert message.metadata.message_id == message_id != internals.stamp(Message(RecordDict(), 9, "train"))
    reply = Message(Error(internals.CLIENT_APP_RAISED, "why"), reply_to=message)
    assert reply.metadata.reply_to_message_id == message_id
    assert (reply.metadata.src_node_id, reply.metadata.dst_node_id) == (9, internals.SERVER_NODE_ID)


def test_run_and_error_codes():
    assert internals.new_run(3).run_id == 3
    assert internals.CLIENT_APP_RAISED != internals.NODE_UNAVAILABLE


def test_telemetry_follows_the_environment_even_after_import(monkeypatch):
    monkeypatch.setattr(telemetry, "FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    internals.apply_telemetry_setting()
    assert telemetry.FLWR_TELEMETRY_ENABLED == "0"
    # With that, Flower builds its event and sends nothing.
    monkeypatch.setattr(telemetry.urllib.request, "urlopen", lambda *a, **k: (_ for _ in ()).throw(AssertionError))
    assert telemetry.create_event(telemetry.EventType.PING, None) == "disabled"
