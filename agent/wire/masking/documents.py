"""The messages of a masked round. Silos sign theirs; a set is as true as the messages in it.

Sets hold signed containers in base64, in the order of the silos' names, so that equal sets have
equal bytes: K1 and the hash of U2 are SHA-256 of these bytes.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field

from agent.errors import Refused
from agent.wire.document import Count, Document, KeyHex, Moment, Name, Sha256

# More would not fit into the documents, and would leave a summand fewer than 24 bits.
MAX_SILOS = 128
_Groups = Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=10_000)]
_Share = Annotated[str, Field(pattern=r"^[0-9a-f]{66}$")]
_Seed = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Containers = Annotated[tuple[str, ...], Field(max_length=MAX_SILOS)]


class Message(Document):
    """What a silo says in one round; signed by it alone."""

    consortium: Name
    silo: Name
    round_id: Name


class RoundKeys(Message):
    """Step 2: a silo's fresh keys, and what it trains in this round.

    Attributes:
        manifest_sha256: Of the round's manifest as signed, with the base weights in it.
        mask_key, share_key: X25519; the first makes masks, the second seals shares.
        groups: The groups of tensors that it trains; a head that too few train is not uploaded.
    """

    kind: Literal["masked_keys"] = "masked_keys"
    manifest_sha256: Sha256
    roster_sha256: Sha256
    mask_key: KeyHex
    share_key: KeyHex
    groups: _Groups
    created: Moment


class KeySet(Document):
    """U1: the signed keys of all silos that go on; K1 is its hash."""

    kind: Literal["key_set"] = "key_set"
    round_id: Name
    keys: _Containers


class Upload(Message):
    """Step 3: what a silo signs of its masked vector.

    Attributes:
        vector_sha256, words: Of the vector, little-endian words of 32 bits.
        groups: Those in which there is more than zeros under the masks.
        n_min, counts: The fewest silos of which this silo lets a sum with its own update be made,
            and which silos it counts. They travel so that every honest silo enforces them: this
            one's refusal alone would not keep the others from unmasking it.
        own_sha256: Commitment to the seed of its own mask.
        pair_sha256: To the seeds that it shares with each other silo of the key set.
    """

    kind: Literal["masked_upload"] = "masked_upload"
    key_set_sha256: Sha256
    vector_sha256: Sha256
    words: Count
    groups: _Groups
    n_min: Count
    counts: Annotated[tuple[Name, ...], Field(max_length=MAX_SILOS)]
    own_sha256: Sha256
    pair_sha256: Annotated[dict[Name, Sha256], Field(max_length=MAX_SILOS)]
    created: Moment


class UploadSet(Document):
    """U2: the signed uploads of which the sum shall be made."""

    kind: Literal["upload_set"] = "upload_set"
    round_id: Name
    key_set_sha256: Sha256
    uploads: _Containers


class Ack(Message):
    """Step 4: a silo's word that it was shown this set of uploads; it gives it once."""

    kind: Literal["masked_ack"] = "masked_ack"
    upload_set_sha256: Sha256
    created: Moment


class AckSet(Document):
    """The acknowledgements that let silos unmask."""

    kind: Literal["ack_set"] = "ack_set"
    round_id: Name
    acks: _Containers


class Unmask(Message):
    """Step 5: a silo's shares of what the sum needs, and of nothing else.

    Attributes:
        own: Of the seed of the own mask, for silos in U2.
        pairs: Of the seeds that a silo in U2 shares with silos in U1 but not in U2.
    """

    kind: Literal["masked_unmask"] = "masked_unmask"
    upload_set_sha256: Sha256
    own: Annotated[dict[Name, _Share], Field(max_length=MAX_SILOS)]
    pairs: Annotated[
        dict[Name, Annotated[dict[Name, _Share], Field(max_length=MAX_SILOS)]],
        Field(max_length=MAX_SILOS),
    ]


class Publication(Document):
    """Step 6: the sum by hash and all that it takes to compute it again.

    Attributes:
        own, pairs: As in `Unmask`, the seeds themselves.
    """

    kind: Literal["masked_sum"] = "masked_sum"
    consortium: Name
    round_id: Name
    manifest_sha256: Sha256
    key_set_sha256: Sha256
    upload_set_sha256: Sha256
    sum_sha256: Sha256
    own: Annotated[dict[Name, _Seed], Field(max_length=MAX_SILOS)]
    pairs: Annotated[
        dict[Name, Annotated[dict[Name, _Seed], Field(max_length=MAX_SILOS)]],
        Field(max_length=MAX_SILOS),
    ]


def in_order(containers: Mapping[str, bytes]) -> tuple[str, ...]:
    """Returns containers as a set holds them.

    Args:
        containers: The signed bytes by silo.
    """
    return tuple(base64.b64encode(containers[silo]).decode("ascii") for silo in sorted(containers))


def contained(texts: Iterable[str]) -> list[bytes]:
    """Returns the signed bytes that a set holds.

    Raises:
        Refused: `bad_set`.
    """
    try:
        return [base64.b64decode(text, validate=True) for text in texts]
    except (binascii.Error, ValueError) as error:
        raise Refused("bad_set", "A message of the set is not valid base64.") from error
