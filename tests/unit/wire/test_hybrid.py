"""The hybrid profile: both halves are needed, and neither form passes for the other."""

import io
import struct

import pytest

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keys import new_hybrid, new_post_quantum, new_sealing, new_signing
from agent.wire.documents import Member, Privacy, Roster, UpdateCore
from agent.wire.envelope import open_blob, seal, verify_header
from agent.wire.hybrid import OVERHEAD_BYTES, SIGNATURE_BYTES, Hybrid, wrap
from agent.wire.signed import key_id, pre_authentication

_WHEN = "2026-01-01T00:00:00Z"
_SIGN, _PQ, _ROUND = new_signing("sign"), new_post_quantum(), new_hybrid("round")
_MEMBER = Member(
    silo="a",
    legal_entity="",
    sign_key=_SIGN.public_hex,
    seal_key="11" * 32,
    courier_key="22" * 32,
    not_before=_WHEN,
    expires="2027-01-01T00:00:00Z",
    pq_sign_key=_PQ.public_hex,
)
_CORE = UpdateCore(
    consortium="c",
    silo="a",
    sequence=1,
    roster_version=1,
    roster_sha256="00" * 32,
    plan_id="p",
    round_id="r",
    attempt=1,
    base_sha256="00" * 32,
    feature_sha256="00" * 32,
    reference_sha256="00" * 32,
    agent_version="0",
    created=_WHEN,
    expires=_WHEN,
    recipient=key_id(_ROUND.public_hex),
    commitment="00" * 32,
    privacy=Privacy(),
    egress_head="00" * 32,
)
_PAYLOAD = b"learned" * 1000


def _roster(**changes: object) -> Roster:
    return Roster(
        consortium="c",
        version=1,
        issued=_WHEN,
        expires="2027-01-01T00:00:00Z",
        members=(_MEMBER.model_copy(update=changes),),
    )


def _sealed(hybrid: Hybrid | None) -> tuple[bytes, bytes]:
    sink = io.BytesIO()
    header = seal(_PAYLOAD, _CORE, _ROUND.public_hex, _SIGN, sink, hybrid)
    return header, sink.getvalue()


_HEADER, _BLOB = _sealed(Hybrid(_ROUND.kem_hex, _PQ))
_CLASSIC, _ = _sealed(None)


def _code(content: bytes, roster: Roster | None = None) -> str:
    with pytest.raises(Refused) as caught:
        verify_header(content, roster or _roster())
    return caught.value.code


def test_a_hybrid_envelope_opens_for_its_round() -> None:
    header = verify_header(_HEADER, _roster())
    assert header.profile == "hybrid"
    assert header.envelope_id == sha256_bytes(_HEADER)
    assert len(header.wrapped_key) == 64 + OVERHEAD_BYTES
    assert open_blob(header, io.BytesIO(_BLOB), _ROUND) == _PAYLOAD
    assert verify_header(_CLASSIC, _roster()).profile == "classic"


def test_another_rounds_key_does_not_open_it() -> None:
    header = verify_header(_HEADER, _roster())
    for other in (new_hybrid("round"), new_sealing("round")):
        with pytest.raises(Refused, match="not_for_us"):
            open_blob(header, io.BytesIO(_BLOB), other)


@pytest.mark.parametrize("half", ["x25519", "ml-kem"])
def test_one_half_of_the_key_alone_opens_nothing(half: str) -> None:
    other = new_hybrid("round")
    x25519 = (_ROUND if half == "x25519" else other).public_hex
    kem = (_ROUND if half == "ml-kem" else other).kem_hex
    with pytest.raises(Refused, match="not_for_us"):
        _ROUND.unseal(wrap(b"x" * 64, x25519, kem))
    assert _ROUND.unseal(wrap(b"x" * 64, _ROUND.public_hex, _ROUND.kem_hex)) == b"x" * 64


def test_both_signatures_must_fit() -> None:
    for offset in (-1, -SIGNATURE_BYTES, -SIGNATURE_BYTES - 1):
        altered = bytearray(_HEADER)
        altered[offset] ^= 1
        assert _code(bytes(altered)) == "bad_signature"
    forged = _HEADER[:-SIGNATURE_BYTES] + new_post_quantum().sign(
        pre_authentication("envelope", _HEADER[: -SIGNATURE_BYTES - 96])
    )
    assert _code(forged) == "bad_signature"


def test_a_silo_without_a_post_quantum_key_signs_no_hybrid_envelope() -> None:
    assert _code(_HEADER, _roster(pq_sign_key=None)) == "unknown_signer"
    assert _code(_HEADER, _roster(pq_sign_key="00" * 5)) == "bad_signature"


def test_a_hybrid_envelope_cannot_be_stripped_to_a_classic_one() -> None:
    """The attacker drops the second signature, or writes the other mark in front."""
    assert _code(_HEADER[:-SIGNATURE_BYTES]) == "bad_header"
    stripped = b"ONGGI-E1" + _HEADER[8:]
    assert _code(stripped) == "bad_header"
    (length,) = struct.unpack_from(">I", _CLASSIC, 8)
    dressed = b"ONGGI-E2" + _CLASSIC[8 : 12 + length] + bytes(len(_HEADER) - 12 - length)
    assert _code(dressed) == "unknown_signer"
    tail = _HEADER[-SIGNATURE_BYTES - 96 : -SIGNATURE_BYTES]
    short = b"ONGGI-E1" + _CLASSIC[8:-96] + tail
    assert _code(short) == "bad_signature", "Ed25519 signed the mark, too"


def test_a_key_that_is_none_is_refused() -> None:
    for x25519, kem in (("00", _ROUND.kem_hex), (_ROUND.public_hex, "00" * 1184 + "0")):
        with pytest.raises(Refused, match="bad_key"):
            wrap(b"x", x25519, kem)
