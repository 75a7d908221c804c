"""Signing a policy off: an officer's signature stands beside the file, in a file of its own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.document import Count, Document, KeyHex, Moment, Sha256
from agent.wire.signed import Signer, key_id, parse, sign, verify

KIND = "policy"
_LONGEST = 64 << 10


class SignOff(Document):
    """What the officer signs: which file, and when.

    Attributes:
        policy_sha256: Of the policy file's bytes.
        version: The policy's own.
        key: The officer's public key, so that the first sign-off can be pinned.
        signer: The officer's name, for people.
    """

    kind: Literal["policy"] = "policy"
    policy_sha256: Sha256
    version: Count
    key: KeyHex
    signer: str
    signed: Moment


@dataclass(frozen=True, slots=True)
class Found:
    """A policy's file and the signature beside it, as they are on the disk; None where absent."""

    policy: bytes | None
    signature: bytes | None


def signature_path(path: Path) -> Path:
    """Returns where a policy's signature is."""
    return path.with_name(path.name + ".sig")


def look(path: Path) -> Found:
    """Reads both files; one that cannot be read counts as absent."""
    return Found(_read(path), _read(signature_path(path)))


def sign_off(content: bytes, version: int, officer: Signer, signer: str, at: str) -> bytes:
    """Returns the signed container for a policy file's bytes.

    Args:
        content: The file.
        version: The policy's own version.
        officer: The officer's key.
        signer: The officer's name.
        at: The time, as `agent.clock.to_text` writes it.
    """
    document = SignOff(
        policy_sha256=sha256_bytes(content),
        version=version,
        key=officer.public_hex,
        signer=signer,
        signed=at,
    )
    return sign(KIND, document.to_bytes(), officer)


def check(found: Found, officer: str) -> SignOff:
    """Checks that the file is the one which the officer signed.

    Args:
        found: Both files.
        officer: The pinned public key; empty pins whoever signed first.

    Raises:
        Refused: `policy_missing`, `policy_unsigned`, `policy_altered`, `unknown_signer`,
            `malformed`, or a code of `signed.verify`.
    """
    if found.policy is None:
        raise Refused("policy_missing", "The policy's file is missing or cannot be read.")
    if found.signature is None:
        raise Refused("policy_unsigned", "The policy has no signature beside it.")
    if len(found.signature) > _LONGEST:
        raise Refused("too_large", "The policy's signature is far too long to be one.")
    # Without a pinned key the container says who signed; the signature is then by that very key.
    key = officer or SignOff.parse(parse(found.signature).payload).key
    document = SignOff.parse(verify(found.signature, KIND, {key_id(key): key}))
    if document.key != key:
        raise Refused("unknown_signer", "The sign-off names another key than the one that signed.")
    if document.policy_sha256 != sha256_bytes(found.policy):
        raise Refused("policy_altered", "The policy was changed after it was signed off.")
    return document


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
