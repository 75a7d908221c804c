"""docs/protocol-vectors.json is true: another implementation could be built against it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from agent.keys import (
    HybridSealingIdentity,
    PostQuantumIdentity,
    SealingIdentity,
    SigningIdentity,
)
from agent.wire import signed
from agent.wire.documents import Roster, RotationRequest
from agent.wire.envelope import open_blob, verify_header
from agent.wire.request import request_message
from agent.wire.roster import sign_rotation
from agent.wire.token import decode_token, fingerprint
from agent.wire.update import unpack

VECTORS = Path(__file__).parents[3] / "docs" / "protocol-vectors.json"


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(VECTORS.read_text())
    return content


def test_keys(vectors: dict[str, Any]) -> None:
    for entry in vectors["signing_keys"]:
        key = SigningIdentity("sign", bytes.fromhex(entry["seed"]))
        assert key.public_hex == entry["public"]
        assert signed.key_id(entry["public"]) == entry["key_id"]


def test_pre_authentication_and_signature(vectors: dict[str, Any]) -> None:
    for entry in vectors["signatures"]:
        payload = entry["payload"].encode()
        message = signed.pre_authentication(entry["kind"], payload)
        assert message.hex() == entry["message"]
        key = SigningIdentity("sign", bytes.fromhex(entry["seed"]))
        assert key.sign(message).hex() == entry["signature"]
        container = signed.sign(entry["kind"], payload, key)
        assert container.decode() == entry["container"]
        assert signed.verify(container, entry["kind"], {entry["key_id"]: key.public_hex}) == payload


def test_request(vectors: dict[str, Any]) -> None:
    entry = vectors["request"]
    assert request_message(*entry["parts"]).hex() == entry["message"]


def test_token_and_fingerprint(vectors: dict[str, Any]) -> None:
    entry = vectors["token"]
    assert json.loads(decode_token(entry["text"]).to_bytes()) == entry["document"]
    assert fingerprint(*vectors["fingerprint"]["parts"]) == vectors["fingerprint"]["text"]


def test_envelope(vectors: dict[str, Any]) -> None:
    entry = vectors["envelope"]
    roster = Roster.parse(entry["roster"].encode())
    header = verify_header(bytes.fromhex(entry["signed_header"]), roster)
    assert header.envelope_id == entry["id"]
    recipient = SealingIdentity("round", bytes.fromhex(entry["recipient_private"]))
    payload = open_blob(header, io.BytesIO(bytes.fromhex(entry["blob"])), recipient)
    assert payload.hex() == entry["payload"]
    shapes = {name: tuple(shape) for name, shape in entry["shapes"].items()}
    delta, weight = unpack(payload, shapes)
    assert {name: tensor.tolist() for name, tensor in delta.items()} == entry["delta"]
    assert weight == entry["weight"]


def test_hybrid_envelope(vectors: dict[str, Any]) -> None:
    entry = vectors["hybrid_envelope"]
    raw = bytes.fromhex(entry["recipient_x25519_private"] + entry["recipient_mlkem_seed"])
    recipient = HybridSealingIdentity("round", raw)
    assert recipient.public_hex == entry["recipient_x25519"]
    assert recipient.kem_hex == entry["recipient_mlkem"]
    signer = PostQuantumIdentity("pq-sign", bytes.fromhex(entry["mldsa_seed"]))
    assert signer.public_hex == entry["mldsa_public"]
    header = verify_header(
        bytes.fromhex(entry["signed_header"]), Roster.parse(entry["roster"].encode())
    )
    assert (header.envelope_id, header.profile) == (entry["id"], "hybrid")
    payload = open_blob(header, io.BytesIO(bytes.fromhex(entry["blob"])), recipient)
    assert payload.hex() == entry["payload"]


def test_rotation(vectors: dict[str, Any]) -> None:
    entry = vectors["rotation"]
    old, new = (
        SigningIdentity("sign", bytes.fromhex(entry[seed])) for seed in ("old_seed", "new_seed")
    )
    request = RotationRequest.parse(entry["payload"].encode())
    assert sign_rotation(request, old, new).decode() == entry["container"]
