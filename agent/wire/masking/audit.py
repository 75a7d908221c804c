"""Commit and audit: somebody from outside looks into random past rounds of masked sums.

    announcement    the aggregator signs which rounds can be looked into, before the coin falls
    coin            public and unforeseen, such as a beacon's next value: nobody chose the rounds
    answer          each silo's own copies of what it signed in a chosen round
    check           here, from files alone

What is opened is each silo's *masked* vector and the seeds that the round published anyway: its own
mask's. The seeds that it shares with others stay closed, so that a silo's plain update is never
shown, to nobody. What the check proves: every silo sent what the aggregator says that it sent; all
of them acknowledged one set of uploads; the published sum is that of these vectors, bit by bit; and
it moved the weights. It does not prove that a silo's numbers are true.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.averaging import Sums
from agent.wire.document import Count, Document, Moment, Name, Sha256
from agent.wire.masking.documents import (
    Ack,
    AckSet,
    Message,
    Publication,
    RoundKeys,
    Upload,
    contained,
)
from agent.wire.masking.sets import Keys, Uploads, read_ack_set, read_key_set, read_upload_set
from agent.wire.masking.setting import Setting
from agent.wire.masking.sums import replay

KIND = "audit_announcement"
_LEAST_COIN = 16  # bytes: one that was searched for is no coin
_DOMAIN = b"onggi audit coin"
_Said = TypeVar("_Said", bound=Message)


class Announcement(Document):
    """Which rounds may be looked into; signed by the aggregator before the coin is known.

    Attributes:
        rounds: SHA-256 of the published sum of each.
    """

    kind: Literal["audit_announcement"] = "audit_announcement"
    consortium: Name
    rounds: Annotated[dict[Name, Sha256], Field(max_length=10_000)]
    created: Moment


class Challenge(Document):
    """What the silos are asked.

    Attributes:
        announcement: The signed container in base64.
        coin: The public value in hexadecimal, at least 16 bytes.
        count: How many rounds.
    """

    kind: Literal["audit_challenge"] = "audit_challenge"
    announcement: str
    coin: Annotated[str, Field(pattern=rf"^([0-9a-f]{{2}}){{{_LEAST_COIN},128}}$")]
    count: Count


class Answer(Document):
    """A silo's own copies of what it signed in one round, in base64.

    Attributes:
        ack: Empty where the silo was gone before it acknowledged.
    """

    kind: Literal["audit_answer"] = "audit_answer"
    silo: Name
    round_id: Name
    keys: str
    upload: str
    ack: str = ""


class Answers(Document):
    """A silo's answers to a challenge."""

    kind: Literal["audit_answers"] = "audit_answers"
    silo: Name
    answers: Annotated[tuple[Answer, ...], Field(max_length=10_000)]


@dataclass(frozen=True, slots=True)
class Shown:
    """What the aggregator shows of a round; the bytes are as it handed them out.

    Attributes:
        setting: The round, its plan and roster, each believed already.
        key_set, upload_set, ack_set: U1, U2 and the acknowledgements.
        publication: Its signature was checked.
    """

    setting: Setting
    key_set: bytes
    upload_set: bytes
    ack_set: bytes
    publication: Publication


def chosen(announcement: bytes, coin: bytes, count: int) -> tuple[str, ...]:
    """Returns the rounds that a coin chooses, in the order in which they are to be looked into.

    Each round is ranked by a hash of announcement, coin and its id: who does not know the coin
    knows nothing of the rank, and who does can change nothing.

    Args:
        announcement: The payload as signed.
        coin: The public value.
        count: How many.

    Raises:
        Refused: `weak_coin` (too short), or a code of `Document.parse`.
    """
    if len(coin) < _LEAST_COIN:
        raise Refused("weak_coin", f"A coin has at least {_LEAST_COIN} bytes nobody could foresee.")
    rounds = Announcement.parse(announcement).rounds
    bound = _DOMAIN + hashlib.sha256(announcement).digest() + hashlib.sha256(coin).digest()
    ranked = sorted(rounds, key=lambda one: hashlib.sha256(bound + one.encode()).digest())
    return tuple(ranked[:count])


def check_announced(announcement: Announcement, publication: bytes, round_id: str) -> None:
    """Checks that a round's sum is the one that was announced.

    Args:
        announcement: Believed.
        publication: The payload of the published sum, as signed.
        round_id: Which round.

    Raises:
        Refused: `not_announced`, or `changed_since`.
    """
    if round_id not in announcement.rounds:
        raise Refused("not_announced", f"Round {round_id} is not among those announced.")
    if announcement.rounds[round_id] != sha256_bytes(publication):
        raise Refused("changed_since", f"Round {round_id} was announced with another sum.")


def check_round(
    shown: Shown, answers: Mapping[str, Answer], vector_of: Callable[[str], bytes]
) -> Sums:
    """Checks one chosen round against every silo's own word, and computes its sum again.

    Args:
        shown: What the aggregator shows.
        answers: By silo; of each in the sum.
        vector_of: Gives a silo's masked vector.

    Returns:
        The sum, as it may be held against the weights after the round.

    Raises:
        Refused: `missing_answer`; `wrong_answer` (it is of another silo or round, or not what the
            silo signed); `equivocation` (the silo signed two messages for one step, or it was shown
            another set of uploads than the others); or a code of `read_key_set`,
            `read_upload_set`, `read_ack_set` or `sums.replay`.
    """
    keys = read_key_set(shown.setting, shown.key_set)
    uploads = read_upload_set(keys, shown.upload_set)
    acked = read_ack_set(keys, uploads, shown.ack_set)
    acks = dict(zip(sorted(acked), contained(AckSet.parse(shown.ack_set).acks), strict=True))
    for silo in uploads.uploads:
        if silo not in answers:
            raise Refused("missing_answer", f"Silo {silo} has not said what it sent.")
        _check_answer(keys, uploads, acks, silo, answers[silo])
    return replay(shown.publication, keys, uploads, vector_of)


def _check_answer(
    keys: Keys, uploads: Uploads, acks: Mapping[str, bytes], silo: str, answer: Answer
) -> None:
    setting = keys.setting
    if (answer.silo, answer.round_id) != (silo, setting.manifest.round_id):
        raise Refused("wrong_answer", f"The answer of {silo} is of another silo, or round.")
    _check_same(setting, RoundKeys, silo, answer.keys, keys.messages[silo])
    _check_same(setting, Upload, silo, answer.upload, uploads.messages[silo])
    if silo in acks:
        _check_same(setting, Ack, silo, answer.ack, acks[silo])
    elif answer.ack:
        # It came too late, or was kept from the others: what was acknowledged tells which.
        own = _read(setting, Ack, silo, answer.ack)
        if own.upload_set_sha256 != uploads.sha256:
            raise Refused("equivocation", f"Silo {silo} was shown another set of uploads.")


def _check_same(
    setting: Setting, model: type[RoundKeys | Upload | Ack], silo: str, own: str, shown: bytes
) -> None:
    if _bytes(silo, own) == shown:
        return
    _read(setting, model, silo, own)
    raise Refused("equivocation", f"Two messages of {silo} for one step are signed by it.")


def _read(setting: Setting, model: type[_Said], silo: str, own: str) -> _Said:
    try:
        message = setting.read(model, _bytes(silo, own))
    except Refused as refusal:
        raise Refused("wrong_answer", f"The answer of {silo}: {refusal.reason}") from refusal
    if message.silo != silo:
        raise Refused("wrong_answer", f"The answer of {silo} holds a message of {message.silo}.")
    return message


def _bytes(silo: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("wrong_answer", f"The answer of {silo} is not valid base64.") from error
