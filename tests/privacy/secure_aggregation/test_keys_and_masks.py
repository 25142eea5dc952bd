"""Keys against HKDF by hand; masks against ChaCha20 written out, and by what they add up to."""

import hashlib
import hmac
import struct

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen

from ecc_fed.privacy.secure_aggregation.keys import agreed, decrypt, derived, encrypt, public_key, secrets_of
from ecc_fed.privacy.secure_aggregation.masks import add_pair_mask, keystream, mask, pair_mask_seed, self_mask_seed

ONE, OTHER = bytes(range(32)), bytes(range(100, 132))


def chacha20(seed: bytes, num_bytes: int) -> bytes:
    """RFC 8439, section 2.3, block by block, with nonce and counter from 0."""
    stream = b""
    for block in range(-(-num_bytes // 64)):
        state = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", seed), block, 0, 0, 0]
        work = list(state)

        def quarter(a: int, b: int, c: int, d: int, work: list[int] = work) -> None:
            for left, right, turned, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                work[left] = (work[left] + work[right]) & 0xFFFFFFFF
                mixed = work[turned] ^ work[left]
                work[turned] = (mixed << bits | mixed >> (32 - bits)) & 0xFFFFFFFF

        for _ in range(10):
            for start in range(4):
                quarter(start, start + 4, start + 8, start + 12)
            for start in range(4):
                quarter(start, 4 + (start + 1) % 4, 8 + (start + 2) % 4, 12 + (start + 3) % 4)
        stream += struct.pack("<16I", *((one + two) & 0xFFFFFFFF for one, two in zip(work, state, strict=True)))
    return stream[:num_bytes]


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256, an empty salt and one block."""
    extracted = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def test_the_keystream_is_chacha20_under_the_whole_seed() -> None:
    assert keystream(bytes(32), 32).hex() == "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    assert keystream(ONE, 150) == chacha20(ONE, 150)
    assert mask(ONE, 9).tolist() == list(struct.unpack("<9Q", chacha20(ONE, 72)))
    for place in range(32):
        seed = bytearray(ONE)
        seed[place] ^= 1
        assert not np.array_equal(mask(bytes(seed), 4), mask(ONE, 4))


def test_seeds_that_fold_to_the_same_32_bits_make_different_masks() -> None:
    """Flower's own generator keeps 32 bits of a seed: these two are one to it."""
    seeds = bytes(32), b"\x01\x02\x03\x04" * 2 + bytes(24)
    stock = [pseudo_rand_gen(seed, 1 << 32, [(8,)])[0] for seed in seeds]
    assert np.array_equal(*stock)
    assert not np.array_equal(mask(seeds[0], 8), mask(seeds[1], 8))


def test_a_mask_looks_uniform_modulo_its_modulus() -> None:
    """Bytes of the lowest six: chi square over 256 values, each byte position by itself."""
    numbers = mask(ONE, 20_480).view(np.uint8).reshape(-1, 8)
    for position in range(6):
        counts = np.bincount(numbers[:, position], minlength=256)
        assert ((counts - 80) ** 2 / 80).sum() < 340  # the 99.97th percentile at 255 degrees


def test_derived_secrets_are_hkdf_and_apart() -> None:
    assert derived(ONE, "a purpose") == hkdf(ONE, b"a purpose")
    found = secrets_of(ONE)
    parts = [found.cipher_key, found.mask_key, found.self_seed, found.share_seed]
    assert parts == [hkdf(ONE, name) for name in (b"cipher key", b"mask key", b"self seed", b"shares")]
    assert len({*parts}) == 4 == len({*parts} - {ONE})


def test_both_ends_agree_and_nobody_else() -> None:
    ends = agreed(ONE, public_key(OTHER), "x"), agreed(OTHER, public_key(ONE), "x")
    assert ends[0] == ends[1] != agreed(OTHER, public_key(ONE), "y")
    shared = X25519PrivateKey.from_private_bytes(ONE).exchange(X25519PublicKey.from_public_bytes(public_key(OTHER)))
    assert ends[0] == hkdf(shared, b"x")
    with pytest.raises(ValueError):
        agreed(ONE, bytes(32), "x")  # a point of low order gives all the same secret


def test_what_is_encrypted_is_read_by_its_key_alone() -> None:
    sealed = encrypt(ONE, b"a share")
    assert decrypt(ONE, sealed) == b"a share"
    assert decrypt(OTHER, sealed) is None
    assert decrypt(ONE, bytes([sealed[0] ^ 1]) + sealed[1:]) is None


def test_seeds_are_of_one_session_and_one_pair() -> None:
    seed = pair_mask_seed(ONE, public_key(OTHER), "s", 2, 5)
    assert seed == pair_mask_seed(OTHER, public_key(ONE), "s", 5, 2)
    assert seed != pair_mask_seed(ONE, public_key(OTHER), "t", 2, 5)
    assert seed != pair_mask_seed(ONE, public_key(OTHER), "s", 2, 6)
    assert self_mask_seed(ONE, "s") != self_mask_seed(ONE, "t")


def test_the_masks_of_a_pair_vanish_from_its_sum() -> None:
    numbers = np.array([1, 2, 2**64 - 1], np.uint64)
    one, other = numbers.copy(), numbers.copy()
    add_pair_mask(one, OTHER, 3, 8)
    add_pair_mask(other, OTHER, 8, 3)
    assert not np.array_equal(one, numbers) and not np.array_equal(other, numbers)
    assert np.array_equal(one + other, numbers + numbers)
