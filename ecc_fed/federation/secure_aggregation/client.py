"""A device's side of secure aggregation over Flower: its answers to the stages, and the masked update.

A device whose settings ask for it sends no update, no count and no metric in the clear, whatever the server asks for.
What a shop writes into its own folder (`metrics.jsonl`, states) is the researcher's in a simulation: no server sees it.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from flwr.app import ConfigRecord, Message, RecordDict

from ecc_fed.core.aggregation import AdapterUpdate
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.protocols import Device
from ecc_fed.federation.secure_aggregation import wire
from ecc_fed.federation.secure_aggregation.vectors import as_vector
from ecc_fed.federation.wire import records
from ecc_fed.privacy.secure_aggregation.participant import Participant, RefusedRequest

_WITHOUT = "the server asks for secure aggregation, and this shop runs without. Give both the same settings."


@runtime_checkable
class MasksUpdates(Protocol):
    """A `Device` whose shops may take part in secure aggregation."""

    def participant(self, shop_id: str) -> Participant | None:
        """The shop's side; None where the run's updates leave as they are."""
        ...


def participant_of(device: Device, shop_id: str) -> Participant | None:
    """The shop's side; None where its updates leave as they are."""
    return device.participant(shop_id) if isinstance(device, MasksUpdates) else None


def check_train(participant: Participant | None, content: RecordDict, server_round: int, goes_up: bool) -> None:
    """Refuses, before anything is trained, what device and server do not agree on.

    Raises:
        RefusedRequest: an update in the clear of a device that masks; or a stage that the session is not at.
        ConfigError: the server speaks of secure aggregation to a device without.
    """
    asked = records.SECURE in content.config_records
    if participant is None:
        if asked:
            raise ConfigError(_WITHOUT)
    elif goes_up:
        if not asked:
            raise RefusedRequest("the server asks for an update in the clear, and secure_aggregation is on")
        participant.check(wire.read_inbox(content)[0], server_round)


def masked_reply(
    participant: Participant, update: AdapterUpdate, content: RecordDict, answered: ConfigRecord
) -> RecordDict:
    """The reply of a round of which an update goes up.

    Raises:
        BeyondRange: the adapter does not fit into the clipping range.
        RefusedRequest: as `Participant.masked`.
    """
    inbox, quantisation = wire.read_inbox(content)
    weight = 1 if participant.uniform else update.num_examples
    numbers = quantisation.encode(weight, update.num_examples, as_vector(update.adapter))
    hidden = participant.masked(inbox, update.server_round, numbers, quantisation)
    return wire.masked_reply(quantisation.pack(hidden), answered)


def answer(participant: Participant | None, message: Message, shop_id: str) -> RecordDict:
    """The content of the answer to a stage other than train.

    Raises:
        ConfigError: this shop runs without secure aggregation.
        RefusedRequest: as the participant's stages.
    """
    if participant is None:
        raise ConfigError(_WITHOUT)
    content, answered = message.content, records.answered(message.content, shop_id)
    phase, server_round = records.phase_and_round(message)
    if phase == "keys":
        return wire.keys_reply(participant.public_keys(wire.read_session(content), server_round), answered)
    if phase == "shares":
        return wire.table_reply(participant.shares(wire.read_roster(content)), answered)
    if phase == "unmask":
        return wire.table_reply(participant.reveal(wire.read_ending(content)), answered)
    raise ValueError(f"secure aggregation has no stage {phase}")
