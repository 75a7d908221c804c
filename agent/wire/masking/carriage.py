"""How the messages of a masked round travel: in an envelope, as statements, and in the feed.

Keys, acknowledgements and shares travel like statements (`agent.wire.statements`): as signed
containers without a blob. An upload is an envelope, sealed for the round's key like any update;
its payload is

    u32 length | signed upload | u32 length | sealed shares | the vector's words, little-endian

with big-endian lengths. The sets come back through the feed as handouts that the aggregator signs.
"""

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from agent.errors import Refused
from agent.wire.document import Document, Name, Sha256
from agent.wire.masking.documents import MAX_SILOS

MAX_MESSAGE_BYTES = 1 << 20
# Of what a silo says outside of an envelope.
MESSAGES = ("masked_keys", "masked_ack", "masked_unmask")
_LENGTH = struct.Struct(">I")
Part = Literal["keys", "uploads", "acks"]


class SealedShares(Document):
    """Sealed shares in base64: by recipient of one sender, or by sender for one recipient."""

    kind: Literal["sealed_shares"] = "sealed_shares"
    shares: Annotated[dict[Name, str], Field(max_length=MAX_SILOS)]

    @classmethod
    def of(cls, sealed: Mapping[str, bytes]) -> "SealedShares":
        """Wraps shares."""
        return cls(shares={one: base64.b64encode(b).decode() for one, b in sealed.items()})

    def opened(self) -> dict[str, bytes]:
        """Returns the shares, still sealed.

        Raises:
            Refused: `bad_shares`.
        """
        try:
            return {one: base64.b64decode(t, validate=True) for one, t in self.shares.items()}
        except (binascii.Error, ValueError) as error:
            raise Refused("bad_shares", "Sealed shares are not valid base64.") from error


class Handout(Document):
    """One set of a masked round, as the aggregator signs and publishes it.

    Attributes:
        part: The key set, the upload set or the set of acknowledgements.
        content: Its bytes in base64.
        shares: With the uploads: for each silo the SHA-256 of its `SealedShares`, an object.
    """

    kind: Literal["handout"] = "handout"
    consortium: Name
    round_id: Name
    part: Part
    content: str
    shares: dict[Name, Sha256] = Field(default_factory=dict, max_length=MAX_SILOS)

    @property
    def set_bytes(self) -> bytes:
        """The set's bytes.

        Raises:
            Refused: `bad_set`.
        """
        try:
            return base64.b64decode(self.content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refused("bad_set", "The set is not valid base64.") from error


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An opened envelope of a masked round.

    Attributes:
        message: The signed upload.
        sealed: The shares for each other silo.
        vector: The masked words.
    """

    message: bytes
    sealed: SealedShares
    vector: bytes


def pack_upload(message: bytes, sealed: Mapping[str, bytes], vector: bytes) -> bytes:
    """Writes the payload of an envelope."""
    shares = SealedShares.of(sealed).to_bytes()
    return b"".join(
        (_LENGTH.pack(len(message)), message, _LENGTH.pack(len(shares)), shares, vector)
    )


def unpack_upload(content: bytes) -> Uploaded:
    """Reads the payload of an envelope.

    Raises:
        Refused: `bad_upload`, or a code of `Document.parse`.
    """
    message, rest = _cut(memoryview(content))
    shares, vector = _cut(rest)
    return Uploaded(bytes(message), SealedShares.parse(bytes(shares)), bytes(vector))


def upload_overhead(silos: int) -> int:
    """Returns how many bytes an upload's payload has at most beside the vector."""
    return MAX_MESSAGE_BYTES + 2 * silos * (33 * silos + 256)


def _cut(content: memoryview) -> tuple[memoryview, memoryview]:
    if len(content) < _LENGTH.size:
        raise Refused("bad_upload", "The upload is cut short.")
    (length,) = _LENGTH.unpack_from(content)
    rest = content[_LENGTH.size :]
    if length > len(rest):
        raise Refused("bad_upload", "The upload is cut short.")
    return rest[:length], rest[length:]
