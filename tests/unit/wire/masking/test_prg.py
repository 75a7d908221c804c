"""Masks: RFC 8439's key stream, added and taken off again."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings

from agent.wire.masking.prg import Stream, add_masks

_SEED = bytes(range(32))


def test_the_stream_is_that_of_rfc_8439() -> None:
    """Appendix A.1, test vector 1: the key and the nonce are zeros."""
    known = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    assert Stream(bytes(32)).words(8).tobytes().hex() == known


def test_another_library_gives_the_same_bytes() -> None:
    """PyNaCl's AEAD on zeros starts at counter 1: after the first 64 bytes."""
    sealed = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
        bytes(4 * 1000), None, bytes(12), _SEED
    )
    assert Stream(_SEED).words(1016).tobytes()[64:] == sealed[:-16]


def test_pieces_join() -> None:
    whole = Stream(_SEED).words(60_000).tobytes()
    stream = Stream(_SEED)
    parts = stream.words(16).tobytes() + stream.words(59_984).tobytes()
    assert parts == whole


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 200_000), st.lists(st.binary(min_size=32, max_size=32), max_size=3))
def test_what_was_added_comes_off_again(size: int, seeds: list[bytes]) -> None:
    vector = np.arange(size, dtype=np.uint32)
    add_masks(vector, seeds, [_SEED])
    if size > 8:
        assert not np.array_equal(vector, np.arange(size, dtype=np.uint32))
    add_masks(vector, [_SEED], seeds)
    assert np.array_equal(vector, np.arange(size, dtype=np.uint32))
