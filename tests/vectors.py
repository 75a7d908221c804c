"""Checks docs/protocol-vectors.json with nothing of the product: `python -m tests.vectors`.

It uses `cryptography`, hashlib and json alone, and reads docs/protocol.md's words, not its code:
what another implementation would do. Only two primitives are missing there, and PyNaCl's bare
bindings stand in: the sealed box (X25519 with XSalsa20) and the secretstream. `--write` makes a
fresh envelope for the file, with the product.
"""

import base64
import hashlib
import io
import json
import struct
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl import bindings
from nacl.public import PrivateKey, SealedBox

from tests.vectors_masking import check_masking

VECTORS = Path(__file__).parents[1] / "docs" / "protocol-vectors.json"


def read() -> dict[str, Any]:
    """Reads the file."""
    content: dict[str, Any] = json.loads(VECTORS.read_text())
    return content


def check(vectors: dict[str, Any]) -> int:
    """Checks every vector; returns how many facts were compared.

    Raises:
        AssertionError: One is not true.
    """
    facts = check_masking(vectors["masking"])
    for part in (_keys, _signatures, _request, _token, _envelope, _refused, _folder):
        facts += part(vectors)
    return facts


def _public(seed: str) -> str:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    return key.public_key().public_bytes_raw().hex()


def _key_id(public: str) -> str:
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()


def _message(kind: str, payload: bytes) -> bytes:
    name = f"application/vnd.onggi.{kind}+json".encode()
    return b" ".join((b"DSSEv1", b"%d" % len(name), name, b"%d" % len(payload), payload))


def _is_signed(public: str, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _same(found: object, told: object) -> int:
    assert found == told, f"{found!r} is not {told!r}"
    return 1


def _keys(vectors: dict[str, Any]) -> int:
    return sum(
        _same(_public(one["seed"]), one["public"]) + _same(_key_id(one["public"]), one["key_id"])
        for one in vectors["signing_keys"]
    )


def _signatures(vectors: dict[str, Any]) -> int:
    facts = 0
    for one in vectors["signatures"]:
        message = _message(one["kind"], one["payload"].encode())
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(one["seed"]))
        facts += _same(message.hex(), one["message"])
        facts += _same(key.sign(message).hex(), one["signature"])
        container = json.loads(one["container"])
        facts += _same(base64.b64decode(container["payload"]).decode(), one["payload"])
        facts += _same(container["signatures"][0]["keyid"], one["key_id"])
        facts += _same(base64.b64decode(container["signatures"][0]["sig"]), key.sign(message))
    return facts


def _request(vectors: dict[str, Any]) -> int:
    one = vectors["request"]
    return _same(_message("request", "\n".join(one["parts"]).encode()).hex(), one["message"])


def _token(vectors: dict[str, Any]) -> int:
    text = vectors["token"]["text"]
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    parts = b"".join(bytes.fromhex(part) for part in vectors["fingerprint"]["parts"])
    shown = hashlib.sha256(parts).hexdigest()[:32]
    groups = " ".join(shown[at : at + 4] for at in range(0, 32, 4))
    return _same(json.loads(content), vectors["token"]["document"]) + _same(
        groups, vectors["fingerprint"]["text"]
    )


def _envelope(vectors: dict[str, Any]) -> int:
    one = vectors["envelope"]
    content, blob = bytes.fromhex(one["signed_header"]), bytes.fromhex(one["blob"])
    header, signer, signature = content[:-96], content[-96:-64], content[-64:]
    member = json.loads(one["roster"])["members"][0]
    assert _is_signed(member["sign_key"], _message("envelope", header), signature)
    (length,) = struct.unpack(">I", header[8:12])
    core_bytes, tail = header[12 : 12 + length], header[12 + length :]
    core = json.loads(core_bytes)
    key = _unwrapped(one, tail[:112], core_bytes)
    facts = _same(header[:8], b"ONGGI-E1") + _same(signer.hex(), _key_id(member["sign_key"]))
    facts += _same(hashlib.sha256(content).hexdigest(), one["id"])
    facts += _same(tail[112:144], hashlib.sha256(blob).digest())
    facts += _same(struct.unpack(">Q", tail[144:152])[0], len(blob))
    told = hashlib.blake2b(b"ONGGI-E1 blob key", key=key, digest_size=32).hexdigest()
    facts += _same(told, core["commitment"])
    payload = _opened(blob, key, hashlib.sha256(core_bytes).digest())
    return facts + _same(payload.hex(), one["payload"]) + _tensors(one, payload)


def _unwrapped(one: dict[str, Any], wrapped: bytes, core: bytes) -> bytes:
    opened = SealedBox(PrivateKey(bytes.fromhex(one["recipient_private"]))).decrypt(wrapped)
    assert opened[32:] == hashlib.sha256(core).digest()
    return bytes(opened[:32])


def _opened(blob: bytes, key: bytes, bound: bytes) -> bytes:
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    source, payload, tag = io.BytesIO(blob), b"", 0
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, source.read(24), key)
    while tag != 3:
        chunk = source.read((1 << 20) + 17)
        piece, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, chunk, bound)
        payload += piece
    assert not source.read()
    return payload


def _tensors(one: dict[str, Any], payload: bytes) -> int:
    (length,) = struct.unpack("<Q", payload[:8])
    header, data = json.loads(payload[8 : 8 + length]), payload[8 + length :]
    facts = 0
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        values = list(struct.unpack(f"<{(end - start) // 4}f", data[start:end]))
        kind, _, rest = name.partition("/")
        told = [one["weight"][rest]] if kind == "weight" else _flat(one["delta"][rest])
        facts += _same(values, told)
    return facts


def _flat(value: Any) -> list[float]:  # noqa: ANN401 - nested lists of numbers
    return [n for one in value for n in _flat(one)] if isinstance(value, list) else [value]


def _refused(vectors: dict[str, Any]) -> int:
    """Each of these must be refused by name; here only that the signatures say what is told."""
    member = json.loads(vectors["envelope"]["roster"])["members"][0]
    facts = 0
    for one in vectors["refused_headers"]:
        content = bytes.fromhex(one["signed_header"])
        fits = _is_signed(member["sign_key"], _message("envelope", content[:-96]), content[-64:])
        facts += _same(fits, one["signature_fits"])
    return facts


def _folder(vectors: dict[str, Any]) -> int:
    one = vectors["folder"]
    request = json.loads(one["request"])
    payload = base64.b64decode(request["payload"])
    signature = base64.b64decode(request["signatures"][0]["sig"])
    assert _is_signed(one["courier_key"], _message("feed_request", payload), signature)
    feed = hashlib.sha256(one["feed"].encode()).hexdigest()
    asked = json.loads(payload)
    return (
        _same(one["request_place"], f"up/{asked['silo']}/request")
        + _same(one["feed_place"], f"down/{asked['silo']}/feed-{asked['after']:010d}-{feed}")
        + _same(one["header_place"], f"up/{asked['silo']}/{vectors['envelope']['id']}.header")
    )


def main() -> None:
    """Checks the file, after writing it where `--write` is given."""
    if "--write" in sys.argv[1:]:
        from tests.vectors_made import made

        VECTORS.write_text(json.dumps(made(read()), indent=1) + "\n")
    print(f"{check(read())} facts of {VECTORS.name} are true.")  # noqa: T201


if __name__ == "__main__":
    main()
