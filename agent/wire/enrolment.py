"""The documents by which a silo comes in and changes its keys."""

from typing import Annotated, Literal

from pydantic import Field

from agent.wire.document import Count, Document, KeyHex, Moment, Name, PqKeyHex, Sha256


class EnrolmentToken(Document):
    """Handed over by a person: whom to ask, and what to pin. Good once.

    Attributes:
        tls_sha256: SHA-256 of the aggregator's TLS public key (SubjectPublicKeyInfo), or empty
            for plain HTTP, which is accepted on loopback only.
        root_sha256: SHA-256 of the signed trust root's payload bytes.
    """

    kind: Literal["token"] = "token"
    silo: Name
    url: str
    expires: Moment
    tls_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    root_sha256: Sha256
    nonce: Annotated[Sha256, Field(repr=False)]


class EnrolmentRequest(Document):
    """The public halves of a silo's keys; signing it proves possession of the signing key."""

    kind: Literal["enrolment"] = "enrolment"
    silo: Name
    legal_entity: str
    nonce: Annotated[Sha256, Field(repr=False)]
    sign_key: KeyHex
    seal_key: KeyHex
    courier_key: KeyHex
    pq_sign_key: PqKeyHex | None = None
    reference_sha256: Sha256
    agent_version: str
    created: Moment


class EnrolmentResponse(Document):
    """The signed trust root, roster and catalogue, each base64 of a signed container.

    Attributes:
        root: The consortium's first root.
        chain: The roots after it, in order. The token names one of them all.
        certificate: The aggregator's TLS certificate (PEM), for a silo that has no network; the
            token names its key.
    """

    kind: Literal["enrolled"] = "enrolled"
    root: str
    roster: str
    catalogue: str
    chain: tuple[str, ...] = ()
    certificate: str = ""


class EnrolmentPending(Document):
    """The request is kept; the officers have not signed a roster with this silo yet."""

    kind: Literal["pending"] = "pending"
    silo: Name
    asked: Moment


class RotationRequest(Document):
    """One new key of a silo, to take the place of the old one in the next roster.

    The silo's signing key signs it, and so does the new key where it is one that can sign: the
    one says who asks, the other that the key is held.
    """

    kind: Literal["rotation"] = "rotation"
    consortium: Name
    silo: Name
    purpose: Literal["sign", "seal", "courier"]
    old_key: KeyHex
    new_key: KeyHex
    created: Moment


class Enrolment(Document):
    """What an enrolment agreed on; a silo keeps it beside the documents that it pinned.

    Attributes:
        format: Of the whole trust folder and the keys, for a program that comes later.
    """

    format: Count = 1
    silo: Name
    consortium: Name
    url: str
    root_sha256: Sha256
    enrolled: Moment
