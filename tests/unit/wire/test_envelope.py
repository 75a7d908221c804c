"""Envelopes: sealed for one recipient, bound to one header, and refused by name otherwise."""

import hashlib
import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings
from nacl.public import PublicKey, SealedBox

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_sealing, new_signing
from agent.wire import envelope, signed
from agent.wire.documents import Member, Privacy, Roster, UpdateCore

_SIGN, _OTHER = new_signing("sign"), new_signing("sign")
_ROUND = new_sealing("round")
_ABYTES = bindings.crypto_secretstream_xchacha20poly1305_ABYTES


def _member(silo: str, key: SigningIdentity, *, revoked: bool = False) -> Member:
    return Member(
        silo=silo,
        legal_entity=silo,
        sign_key=key.public_hex,
        seal_key="00" * 32,
        courier_key="00" * 32,
        not_before="2026-01-01T00:00:00Z",
        expires="2027-01-01T00:00:00Z",
        revoked=revoked,
    )


def _roster(*members: Member) -> Roster:
    return Roster(
        consortium="c",
        version=1,
        issued="2026-01-01T00:00:00Z",
        expires="2027-01-01T00:00:00Z",
        members=members,
    )


_ROSTER = _roster(_member("silo-a", _SIGN), _member("silo-b", _OTHER))


def _core(**changes: object) -> UpdateCore:
    core = UpdateCore(
        consortium="c",
        silo="silo-a",
        sequence=1,
        roster_version=1,
        roster_sha256="00" * 32,
        plan_id="p",
        round_id="r-1",
        attempt=1,
        base_sha256="11" * 32,
        feature_sha256="22" * 32,
        reference_sha256="33" * 32,
        agent_version="0.1.0",
        created="2026-01-01T00:00:00Z",
        expires="2026-01-02T00:00:00Z",
        recipient=signed.key_id(_ROUND.public_hex),
        commitment="00" * 32,
        privacy=Privacy(),
        egress_head="00" * 32,
    )
    return core.model_copy(update=changes)


def _sealed(payload: bytes, **changes: object) -> tuple[bytes, bytes]:
    sink = io.BytesIO()
    header = envelope.seal(payload, _core(**changes), _ROUND.public_hex, _SIGN, sink)
    return header, sink.getvalue()


_PAYLOAD = b"weights" * 1000
_HEADER, _BLOB = _sealed(_PAYLOAD)


def _resigned(header: bytes, signer: SigningIdentity = _SIGN) -> bytes:
    body = header[:-96]
    signature = signer.sign(signed.pre_authentication("envelope", body))
    return body + bytes.fromhex(signed.key_id(signer.public_hex)) + signature


def _header_code(content: bytes, roster: Roster = _ROSTER) -> str:
    with pytest.raises(Refused) as caught:
        envelope.verify_header(content, roster)
    return caught.value.code


def _blob_code(blob: bytes, header: bytes = _HEADER) -> str:
    with pytest.raises(Refused) as caught:
        envelope.open_blob(envelope.verify_header(header, _ROSTER), io.BytesIO(blob), _ROUND)
    return caught.value.code


@pytest.mark.parametrize(
    "size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 7, 9 << 20]
)
def test_what_is_sealed_opens(size: int) -> None:
    payload = bytes(range(251)) * (size // 251 + 1)
    header_bytes, blob = _sealed(payload[:size])
    header = envelope.verify_header(header_bytes, _ROSTER)
    assert header.envelope_id == sha256_bytes(header_bytes)
    assert header.blob_bytes == len(blob) == envelope.blob_length(size)
    assert header.blob_sha256 == sha256_bytes(blob)
    assert envelope.open_blob(header, io.BytesIO(blob), _ROUND) == payload[:size]


def test_the_same_payload_sealed_twice_shares_nothing() -> None:
    header, blob = _sealed(_PAYLOAD)
    assert blob != _BLOB
    opened = envelope.verify_header(header, _ROSTER)
    assert opened.core.commitment != envelope.verify_header(_HEADER, _ROSTER).core.commitment


@pytest.mark.parametrize(
    "content",
    [
        b"",
        _HEADER[:11],
        b"ONGGI-E2" + _HEADER[8:],
        _HEADER[:-1],
        _HEADER + b"x",
        _HEADER[:8] + b"\xff\xff\xff\xff" + _HEADER[12:],
        _HEADER[:8] + struct.pack(">I", 70000) + bytes(70264),
        bytes(envelope.MAX_HEADER_BYTES + 1),
    ],
)
def test_bad_framing_is_refused(content: bytes) -> None:
    assert _header_code(content) == "bad_header"
    with pytest.raises(Refused, match="bad_header"):
        envelope.read_core(content)


def test_what_a_header_says_in_the_open_can_be_read() -> None:
    header = envelope.verify_header(_HEADER, _ROSTER)
    assert hashlib.sha256(envelope.read_core(_HEADER)).digest() == header.core_sha256


def test_a_stranger_is_refused() -> None:
    assert _header_code(_resigned(_HEADER, new_signing("sign"))) == "unknown_signer"


def test_a_revoked_silo_is_refused() -> None:
    assert _header_code(_HEADER, _roster(_member("silo-a", _SIGN, revoked=True))) == "revoked"


def test_signing_in_anothers_name_is_refused() -> None:
    assert _header_code(_resigned(_HEADER, _OTHER)) == "wrong_silo"


def test_an_unknown_extension_is_refused() -> None:
    assert _header_code(_sealed(b"x", crit=("masking",))[0]) == "unknown_extension"


def test_a_malformed_core_is_refused_after_the_signature() -> None:
    core = b'{"v":1}'
    header = b"ONGGI-E1" + struct.pack(">I", len(core)) + core + bytes(112 + 32 + 8)
    assert _header_code(header + bytes(96)) == "unknown_signer"
    assert _header_code(_resigned(header + bytes(96))) == "malformed"


@settings(max_examples=300)
@given(st.integers(0, len(_HEADER) - 1), st.integers(1, 255))
def test_any_altered_byte_of_a_header_is_refused(place: int, change: int) -> None:
    altered = bytearray(_HEADER)
    altered[place] ^= change
    assert _header_code(bytes(altered)) in {"bad_header", "unknown_signer", "bad_signature"}


@settings(max_examples=300)
@given(st.binary(max_size=400).map(lambda tail: b"ONGGI-E1" + tail) | st.binary(max_size=400))
def test_any_bytes_are_no_header(content: bytes) -> None:
    with pytest.raises(Refused):
        envelope.verify_header(content, _ROSTER)


@settings(max_examples=200)
@given(st.integers(0, len(_BLOB) - 1), st.integers(1, 255))
def test_any_altered_byte_of_a_blob_is_refused(place: int, change: int) -> None:
    altered = bytearray(_BLOB)
    altered[place] ^= change
    assert _blob_code(bytes(altered)) == "bad_blob"


@settings(max_examples=100)
@given(st.integers(0, len(_BLOB) - 1))
def test_any_cut_blob_is_refused(length: int) -> None:
    assert _blob_code(_BLOB[:length]) == "bad_blob"


def test_chunks_put_out_of_order_added_or_left_out_are_refused() -> None:
    header, blob = _sealed(bytes((2 << 20) + 5))
    chunk = (1 << 20) + _ABYTES
    start, one, two, last = (
        blob[:24],
        blob[24 : 24 + chunk],
        blob[24 + chunk :][:chunk],
        blob[24 + 2 * chunk :],
    )
    assert _blob_code(start + one + two + last + b"x", header) == "bad_blob"
    for pieces in (
        (two, one, last),
        (one, last),
        (one, two),
        (one, two, last, last),
        (one, one, two, last),
    ):
        assert _blob_code(start + b"".join(pieces), header) == "bad_blob"


def test_a_large_blob_is_refused_alike() -> None:
    """Past 8 MiB it is hashed on a thread of its own."""
    header, blob = _sealed(bytes(9 << 20))
    for place in (30, len(blob) // 2, len(blob) - 1):
        altered = bytearray(blob)
        altered[place] ^= 1
        assert _blob_code(bytes(altered), header) == "bad_blob"
    assert _blob_code(blob[:-1], header) == "bad_blob"


def test_a_blob_that_opens_and_is_not_the_one_that_was_signed_is_refused() -> None:
    core = _core(commitment=envelope.commitment(bytes(32))).to_bytes()
    bound = hashlib.sha256(core).digest()
    blobs = []
    for payload in (b"one", b"two"):
        state = bindings.crypto_secretstream_xchacha20poly1305_state()
        start = bindings.crypto_secretstream_xchacha20poly1305_init_push(state, bytes(32))
        blobs.append(
            start
            + bindings.crypto_secretstream_xchacha20poly1305_push(
                state, payload, bound, bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
            )
        )
    wrapped = SealedBox(PublicKey(bytes.fromhex(_ROUND.public_hex))).encrypt(bytes(32) + bound)
    header = envelope.verify_header(_rewrapped(core, wrapped, blobs[0]), _ROSTER)
    assert envelope.open_blob(header, io.BytesIO(blobs[0]), _ROUND) == b"one"
    assert _blob_code(blobs[1], _rewrapped(core, wrapped, blobs[0])) == "bad_blob"


def test_bytes_after_a_full_final_chunk_are_refused() -> None:
    header, blob = _sealed(bytes(1 << 20))
    assert _blob_code(blob + b"x", header) == "bad_blob"


def test_a_blob_of_another_envelope_is_refused() -> None:
    assert _blob_code(_sealed(_PAYLOAD)[1]) == "bad_blob"


def test_an_envelope_for_another_recipient_is_refused() -> None:
    header = envelope.verify_header(_HEADER, _ROSTER)
    with pytest.raises(Refused, match="not_for_us"):
        envelope.open_blob(header, io.BytesIO(_BLOB), new_sealing("round"))


def _rewrapped(core: bytes, wrapped: bytes, blob: bytes) -> bytes:
    digest = hashlib.sha256(blob).digest()
    tail = wrapped + digest + struct.pack(">Q", len(blob))
    return _resigned(b"ONGGI-E1" + struct.pack(">I", len(core)) + core + tail + bytes(96))


def _parts(header: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack(">I", header[8:12])
    return header[12 : 12 + length], header[12 + length : 12 + length + 112]


def test_a_key_moved_to_another_core_is_refused() -> None:
    _, wrapped = _parts(_HEADER)
    header = _rewrapped(_core(round_id="r-2").to_bytes(), wrapped, _BLOB)
    assert _blob_code(_BLOB, header) == "moved_key"


def test_a_false_commitment_is_refused() -> None:
    core = _core(commitment="ab" * 32).to_bytes()
    bound, key = hashlib.sha256(core).digest(), bytes(32)
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    blob = bindings.crypto_secretstream_xchacha20poly1305_init_push(state, key)
    blob += bindings.crypto_secretstream_xchacha20poly1305_push(
        state, b"x", bound, bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
    )
    wrapped = SealedBox(PublicKey(bytes.fromhex(_ROUND.public_hex))).encrypt(key + bound)
    assert _blob_code(blob, _rewrapped(core, wrapped, blob)) == "bad_commitment"
