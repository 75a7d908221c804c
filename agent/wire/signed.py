"""Signed containers: DSSE, https://github.com/secure-systems-lab/dsse (protocol v1).

Signatures cover the pre-authentication encoding of the exact bytes; a verifier checks them over
the bytes as received and parses afterwards. Nothing is canonicalized on the verifying side.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.records import Json
from agent.wire import strict_json

_SIGNATURE_BYTES = 64
_MAX_SIGNATURES = 16


class Signer(Protocol):
    """Something that holds an Ed25519 key for one purpose."""

    @property
    def public_hex(self) -> str:
        """The public half, 32 bytes in hexadecimal."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Returns the 64-byte Ed25519 signature of the message."""
        ...


@dataclass(frozen=True, slots=True)
class Container:
    """A signed payload, parsed but not yet believed."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]


def key_id(public_hex: str) -> str:
    """Names a public key by the SHA-256 of its 32 bytes."""
    return sha256_bytes(bytes.fromhex(public_hex))


def payload_type(kind: str) -> str:
    """Returns the media type under which a document of this kind is signed."""
    return f"application/vnd.onggi.{kind}+json"


def pre_authentication(kind: str, payload: bytes) -> bytes:
    """Returns DSSE's PAE: what is signed, so that a type can never pass for another."""
    return _encoding(payload_type(kind), payload)


def sign(kind: str, payload: bytes, *signers: Signer) -> bytes:
    """Returns the container's bytes, signed by each of the signers; by nobody if there is none."""
    content = _write(Container(payload_type(kind), payload, ()))
    for signer in signers:
        content = countersign(content, signer)
    return content


def countersign(content: bytes, signer: Signer) -> bytes:
    """Adds one signature to a container; in the place of an earlier one by the same key.

    Raises:
        Refused: `bad_container`, or a code of `strict_json.loads`.
    """
    container = parse(content)
    own = key_id(signer.public_hex)
    signature = signer.sign(_encoding(container.payload_type, container.payload))
    others = tuple(pair for pair in container.signatures if pair[0] != own)
    return _write(Container(container.payload_type, container.payload, (*others, (own, signature))))


def _write(container: Container) -> bytes:
    signatures: list[Json] = [
        {"keyid": name, "sig": _b64(signature)} for name, signature in container.signatures
    ]
    return strict_json.dumps(
        {
            "payload": _b64(container.payload),
            "payloadType": container.payload_type,
            "signatures": signatures,
        }
    )


def _encoding(name: str, payload: bytes) -> bytes:
    encoded = name.encode()
    return b"DSSEv1 %d %b %d %b" % (len(encoded), encoded, len(payload), payload)


def parse(content: bytes) -> Container:
    """Reads a container without believing it.

    Raises:
        Refused: `bad_container`, or a code of `strict_json.loads`.
    """
    value = strict_json.loads(content)
    if not isinstance(value, dict) or set(value) != {"payload", "payloadType", "signatures"}:
        raise Refused("bad_container", "The signed container lacks a field or has a strange one.")
    payload, name, entries = value["payload"], value["payloadType"], value["signatures"]
    if not (isinstance(payload, str) and isinstance(name, str) and isinstance(entries, list)):
        raise Refused("bad_container", "A field of the signed container has the wrong type.")
    if len(entries) > _MAX_SIGNATURES:
        raise Refused("bad_container", f"The container has over {_MAX_SIGNATURES} signatures.")
    return Container(name, _unb64(payload), tuple(_signature(entry) for entry in entries))


def verify(content: bytes, kind: str, keys: Mapping[str, str], threshold: int = 1) -> bytes:
    """Checks a container and returns its payload.

    Args:
        content: The container's bytes as received.
        kind: The kind that the caller expects.
        keys: Key ids to public keys (hexadecimal) that may sign it.
        threshold: How many different keys must have signed.

    Raises:
        Refused: `wrong_type`, `unknown_signer` (no known key signed), `bad_signature` (a known
            key's signature does not fit), `too_few_signatures`, or a code of `parse`.
    """
    container = parse(content)
    if container.payload_type != payload_type(kind):
        raise Refused("wrong_type", f"This is {container.payload_type!r}, not a signed {kind}.")
    message = pre_authentication(kind, container.payload)
    known = {name: sig for name, sig in container.signatures if name in keys}
    if not known:
        raise Refused("unknown_signer", f"No key that may sign a {kind} has signed this one.")
    for name, signature in known.items():
        check_signature(keys[name], message, signature)
    # Keys, not key ids: one key under two ids is one signer (CVE-2020-6174 of python-tuf).
    signers = len({keys[name] for name in known})
    if signers < threshold:
        raise Refused(
            "too_few_signatures", f"A {kind} needs {threshold} signatures; this has {signers}."
        )
    return container.payload


def check_signature(public_hex: str, message: bytes, signature: bytes) -> None:
    """Checks one Ed25519 signature.

    Raises:
        Refused: `bad_signature`.
    """
    try:
        VerifyKey(bytes.fromhex(public_hex)).verify(message, signature)
    except (BadSignatureError, ValueError) as error:
        raise Refused("bad_signature", "The signature does not fit the bytes.") from error


def _signature(entry: Json) -> tuple[str, bytes]:
    if not isinstance(entry, dict) or set(entry) != {"keyid", "sig"}:
        raise Refused("bad_container", "A signature entry lacks a field or has a strange one.")
    name, sig = entry["keyid"], entry["sig"]
    if not (isinstance(name, str) and isinstance(sig, str)):
        raise Refused("bad_container", "A signature entry has a field of the wrong type.")
    raw = _unb64(sig)
    if len(raw) != _SIGNATURE_BYTES:
        raise Refused("bad_container", "A signature does not have 64 bytes.")
    return name, raw


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("bad_container", "A field of the container is not valid base64.") from error
