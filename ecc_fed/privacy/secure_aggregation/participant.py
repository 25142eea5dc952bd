"""A device's side of SecAgg+: what it answers in each stage, and what it refuses.

The server is honest but curious: it relays what it should and reads what it can. A device keeps to its side all the
same: never both shares of one shop, never a second answer that differs from the first, no sum of too few. A server
that hands out keys of its own in a shop's name is not kept off: nothing here says whose a public key is.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ecc_fed.core.errors import EccError
from ecc_fed.core.seeding import derive_seed
from ecc_fed.privacy.secure_aggregation import masks, shamir
from ecc_fed.privacy.secure_aggregation.keys import KEY_BYTES, agreed, decrypt, derived, encrypt, public_key, secrets_of
from ecc_fed.privacy.secure_aggregation.messages import Ending, Inbox, PublicKeys, Roster
from ecc_fed.privacy.secure_aggregation.quantisation import Quantisation, Words
from ecc_fed.privacy.secure_aggregation.session_file import SessionRecord, load_session, save_session
from ecc_fed.privacy.secure_aggregation.settings import SecureAggregationSettings


class RefusedRequest(EccError):
    """What a device does not answer, as its answer could tell more than a sum."""


@dataclass(frozen=True, slots=True)
class Participant:
    """One shop in secure aggregation.

    Args:
        settings: the run's, as this device holds them.
        shop_id: whose.
        folder: the shop's, where its session is kept.
        seed: the run's, of which keys are drawn with `settings.seeded_keys`.
        uniform: every shop counts alike; otherwise by its examples.
    """

    settings: SecureAggregationSettings
    shop_id: str
    folder: Path
    seed: int
    uniform: bool = False

    def public_keys(self, session: str, server_round: int) -> PublicKeys:
        """Stage keys: begins the session, or finds it begun."""
        record = load_session(self.folder)
        if record is None or record.session != session:
            record = SessionRecord(session, server_round, self._root(server_round).hex())
            save_session(self.folder, record)
        return self._keys(self._open(session, server_round))

    def shares(self, roster: Roster) -> dict[int, bytes]:
        """Stage shares: for each neighbour, by place, a share of both secrets that it alone can read.

        Raises:
            RefusedRequest: another session, another roster than before, keys that are not the device's own, the same
                keys twice, too few neighbours, or too low a threshold.
        """
        record = self._open(roster.session)
        keys = {str(place): each.to_bytes().hex() for place, each in sorted(roster.keys.items())}
        asked = replace(record, place=roster.place, threshold=roster.threshold, keys=keys)
        if record.keys and asked != record:
            raise RefusedRequest("it was given another roster in the same session")
        self._check_roster(record, roster)
        save_session(self.folder, asked)
        own, held = secrets_of(bytes.fromhex(record.root)), self._own_shares(asked)
        return {
            place: encrypt(
                agreed(own.cipher_key, roster.keys[place].cipher, _purpose(roster.session, roster.place, place)), share
            )
            for place, share in held.items()
            if place != roster.place
        }

    def check(self, inbox: Inbox, server_round: int) -> SessionRecord:
        """Whether an update of the round may leave masked for the senders of this inbox.

        Raises:
            RefusedRequest: another session or round, another inbox than before, strangers in it, or too few senders.
        """
        record = self._open(inbox.session, server_round)
        if not record.keys:
            raise RefusedRequest("it is asked for an update before the shares were given out")
        came = {str(place): each.hex() for place, each in sorted(inbox.ciphertexts.items())}
        if record.inbox is not None and record.inbox != came:
            raise RefusedRequest("it was given another inbox in the same session")
        if not came.keys() <= record.keys.keys() - {str(record.place)}:
            raise RefusedRequest("its inbox holds what is of no neighbour")
        if len(came) + 1 < record.threshold:
            raise RefusedRequest(f"{len(came) + 1} of its neighbourhood are left; the threshold is {record.threshold}")
        return replace(record, inbox=came)

    def masked(self, inbox: Inbox, server_round: int, numbers: Words, quantisation: Quantisation) -> Words:
        """Stage train: the numbers plus the device's own mask and those that it has with the senders of the inbox.

        Raises:
            RefusedRequest: as `check`; or other numbers were sent in this session before: the masks would cancel.
        """
        record = self.check(inbox, server_round)
        own = secrets_of(bytes.fromhex(record.root))
        hidden = numbers + masks.mask(masks.self_mask_seed(own.self_seed, record.session), len(numbers))
        for place in inbox.ciphertexts:
            public = PublicKeys.from_bytes(bytes.fromhex(record.keys[str(place)])).mask
            seed = masks.pair_mask_seed(own.mask_key, public, record.session, record.place, place)
            masks.add_pair_mask(hidden, seed, record.place, place)
        hidden = quantisation.reduced(hidden)
        digest = hashlib.sha256(hidden.tobytes()).hexdigest()
        if record.sent_sha256 not in ("", digest):
            raise RefusedRequest("its update is not the one that it has sent in this session: both would show")
        save_session(self.folder, replace(record, sent_sha256=digest))
        return hidden

    def reveal(self, ending: Ending) -> dict[int, bytes]:
        """Stage unmask: of each survivor a share of its own mask's seed, of each other one a share of its mask key.

        A share that its sender encrypted wrongly is left out. Ends the session: its secrets are dropped.

        Raises:
            RefusedRequest: the same shop among survivors and dropped; somebody missing or strange; another ending than
                before; the device itself not among the survivors; or too few of them.
        """
        record = self._open(ending.session, ended=True)
        if record.revealed is not None:
            if (ending.survivors, ending.dropped) != (record.survivors, record.dropped):
                raise RefusedRequest("it was told another ending of the same session")
            return {int(place): bytes.fromhex(share) for place, share in record.revealed.items()}
        self._check_ending(record, ending)
        revealed = {}
        for place in (*ending.survivors, *ending.dropped):
            both = self._held(record, place)
            if both is not None:
                seed_share, key_share = both[: shamir.SHARE_BYTES], both[shamir.SHARE_BYTES :]
                revealed[place] = seed_share if place in ending.survivors else key_share
        told = {str(place): share.hex() for place, share in revealed.items()}
        ended = replace(record, root="", survivors=ending.survivors, dropped=ending.dropped, revealed=told)
        save_session(self.folder, replace(ended, keys={}, inbox=None))
        return revealed

    def _root(self, server_round: int) -> bytes:
        if not self.settings.seeded_keys:
            return secrets.token_bytes(KEY_BYTES)
        seed = derive_seed(self.seed, "secure_aggregation", server_round, self.shop_id)
        return derived(seed.to_bytes(8, "big"), "root")

    def _open(self, session: str, server_round: int | None = None, ended: bool = False) -> SessionRecord:
        record = load_session(self.folder)
        if record is None or record.session != session:
            raise RefusedRequest("it knows nothing of this session: its device has begun none, or a later one")
        if server_round not in (None, record.server_round):
            raise RefusedRequest(f"the session is of server round {record.server_round}, not of {server_round}")
        if not record.root and not ended:
            raise RefusedRequest("the session has ended")
        return record

    @staticmethod
    def _keys(record: SessionRecord) -> PublicKeys:
        own = secrets_of(bytes.fromhex(record.root))
        return PublicKeys(public_key(own.cipher_key), public_key(own.mask_key))

    def _check_roster(self, record: SessionRecord, roster: Roster) -> None:
        if roster.keys.get(roster.place) != self._keys(record):
            raise RefusedRequest("the roster holds other keys in its own place than this device has")
        if len({half for each in roster.keys.values() for half in (each.cipher, each.mask)}) < 2 * len(roster.keys):
            raise RefusedRequest("the roster holds the same key twice")
        count, needed = len(roster.keys), self.settings.threshold_of(len(roster.keys))
        if count < self.settings.min_shops:
            raise RefusedRequest(f"its neighbourhood has {count} shops; secure_aggregation.min_shops is above")
        if not needed <= roster.threshold <= count:
            raise RefusedRequest(f"the threshold is {roster.threshold} of {count}; its own settings say {needed}")

    @staticmethod
    def _check_ending(record: SessionRecord, ending: Ending) -> None:
        if record.inbox is None or not record.sent_sha256:
            raise RefusedRequest("it is asked to unmask before it has sent an update")
        survivors, dropped = set(ending.survivors), set(ending.dropped)
        both = sorted(survivors & dropped)
        if both:
            raise RefusedRequest(f"it is asked for both shares of place {both[0]}, which would show its update")
        if len(survivors) + len(dropped) < len(ending.survivors) + len(ending.dropped):
            raise RefusedRequest("it is asked twice for one place")
        if {str(place) for place in survivors | dropped} != {*record.inbox, str(record.place)}:
            raise RefusedRequest("the ending names others than those it shares masks with")
        if record.place not in survivors:
            raise RefusedRequest("the ending says that it sent no update, and it did")
        if len(survivors) < record.threshold:
            raise RefusedRequest(f"{len(survivors)} of its neighbourhood survive; the threshold is {record.threshold}")

    @staticmethod
    def _own_shares(record: SessionRecord) -> dict[int, bytes]:
        """By place, its own included: a share of the own mask's seed, then one of the mask key."""
        own, threshold = secrets_of(bytes.fromhex(record.root)), record.threshold
        points = [int(place) + 1 for place in record.keys]
        drawn = masks.keystream(own.share_seed, 2 * shamir.drawn_bytes(threshold))
        half = len(drawn) // 2
        of_seed = shamir.split(own.self_seed, threshold, points, drawn[:half])
        of_key = shamir.split(own.mask_key, threshold, points, drawn[half:])
        size = shamir.SHARE_BYTES
        return {
            point - 1: of_seed[point].to_bytes(size, "little") + of_key[point].to_bytes(size, "little")
            for point in points
        }

    def _held(self, record: SessionRecord, place: int) -> bytes | None:
        """Both shares of a place's secrets that this device holds; None where they cannot be read."""
        if place == record.place:
            return self._own_shares(record)[place]
        own = secrets_of(bytes.fromhex(record.root))
        sender = PublicKeys.from_bytes(bytes.fromhex(record.keys[str(place)]))
        key = agreed(own.cipher_key, sender.cipher, _purpose(record.session, place, record.place))
        assert record.inbox is not None, "checked"
        plain = decrypt(key, bytes.fromhex(record.inbox[str(place)]))
        return plain if plain is not None and len(plain) == 2 * shamir.SHARE_BYTES else None


def _purpose(session: str, sender: int, receiver: int) -> str:
    return f"shares {session} {sender} {receiver}"


@dataclass(frozen=True, slots=True)
class Masking:
    """How the shops of one host take part: what a `Participant` is made of, but for the shop.

    Attributes:
        settings: the run's.
        seed: the run's.
        uniform: every shop counts alike; otherwise by its examples.
    """

    settings: SecureAggregationSettings
    seed: int
    uniform: bool = False

    def participant(self, shop_id: str, folder: Path) -> Participant:
        """The shop's side."""
        return Participant(self.settings, shop_id, folder, self.seed, self.uniform)


def shares_by_place(revealed: Mapping[int, Mapping[int, bytes]]) -> dict[int, dict[int, int]]:
    """From what devices revealed, by their places, to every secret's shares: by its owner's place, then by point."""
    found: dict[int, dict[int, int]] = {}
    for holder, shares in revealed.items():
        for place, share in shares.items():
            found.setdefault(place, {})[holder + 1] = int.from_bytes(share, "little")
    return found
