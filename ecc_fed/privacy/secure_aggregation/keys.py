"""A device's secrets for one round, what two devices agree on, and what only one of them can read.

All secrets come from one root of 32 bytes, so that a device which has to answer again answers the same. Agreement is
X25519, derivation HKDF-SHA256, encryption ChaCha20-Poly1305, all by `cryptography`.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
# What encryption adds: Poly1305's tag.
TAG_BYTES = 16
# One key encrypts one message only.
_NONCE = bytes(12)


def derived(secret: bytes, purpose: str) -> bytes:
    """32 bytes of `secret` for one purpose (HKDF-SHA256); those of another purpose tell nothing of them."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose.encode()).derive(secret)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a device keeps to itself in one round.

    Attributes:
        cipher_key: private, for the messages between two devices.
        mask_key: private, for the masks of pairs; its shares are given out.
        self_seed: of the mask that is the device's own; its shares are given out.
        share_seed: draws the coefficients of both.
    """

    cipher_key: bytes
    mask_key: bytes
    self_seed: bytes
    share_seed: bytes


def secrets_of(root: bytes) -> Secrets:
    """All of them, from 32 bytes."""
    return Secrets(*(derived(root, purpose) for purpose in ("cipher key", "mask key", "self seed", "shares")))


def public_key(private: bytes) -> bytes:
    """The public half, 32 bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agreed(private: bytes, public: bytes, purpose: str) -> bytes:
    """The 32 bytes that both ends come to, whichever has the private half.

    Raises:
        ValueError: the public half is none.
    """
    shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    return derived(shared, purpose)


def encrypt(key: bytes, plaintext: bytes) -> bytes:
    """What only a holder of `key` can read or make. A key is for one message."""
    return ChaCha20Poly1305(key).encrypt(_NONCE, plaintext, None)


def decrypt(key: bytes, ciphertext: bytes) -> bytes | None:
    """The plaintext; None where it was not encrypted by this key, or changed."""
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, ciphertext, None)
    except InvalidTag:
        return None
