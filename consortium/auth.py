"""Who asks: each request is signed by the silo's courier key over everything it says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.request import NONCE, SIGNATURE, SILO, TIME, request_message
from agent.wire.signed import check_signature
from consortium.tables import MemberRow, NonceRow

_SKEW = timedelta(seconds=300)
# A nonce is kept for as long as its time can be accepted: twice the skew.
_KEPT = 2 * _SKEW
_NONCE = re.compile(r"[0-9a-f]{32}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A request as it came.

    Attributes:
        method: In capitals.
        target: Path and query, as in the request line.
        headers: By name; looked up as they are, so the mapping should ignore case.
        body: All of it.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


def authenticate(session: Session, claim: Claim, now: datetime) -> str:
    """Checks a request and uses up its nonce, in the caller's writing transaction.

    Returns:
        The silo's name.

    Raises:
        Refused: `unsigned_request`, `unknown_silo`, `bad_signature`, `wrong_time`, or
            `replayed_request`.
    """
    silo, time, nonce, signature = (
        _named(claim.headers, name) for name in (SILO, TIME, NONCE, SIGNATURE)
    )
    if not _NONCE.fullmatch(nonce) or not _SIGNATURE.fullmatch(signature):
        raise Refused("unsigned_request", "The request's nonce or signature is malformed.")
    member = session.get(MemberRow, silo)
    if member is None or not in_force(member, now):
        raise Refused(
            "unknown_silo",
            f"No silo {silo!r} is enrolled here, or no longer; enrol, or ask the consortium.",
        )
    message = request_message(
        claim.method, claim.target, silo, time, nonce, sha256_bytes(claim.body)
    )
    check_signature(member.courier_key, message, bytes.fromhex(signature))
    _check_time(time, now)
    _use_nonce(session, silo, nonce, now)
    return silo


def in_force(member: MemberRow, now: datetime) -> bool:
    """Tells whether a silo's membership has begun, and has neither ended nor been revoked."""
    begun = from_text(member.not_before) <= now
    return begun and now < from_text(member.expires) and not member.revoked


def _named(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if value is None:
        raise Refused("unsigned_request", f"The request lacks the header {name}.")
    return value


def _check_time(time: str, now: datetime) -> None:
    try:
        difference = abs(from_text(time) - now)
    except ValueError as error:
        raise Refused("wrong_time", "The request's time is not RFC 3339 with a zone.") from error
    if difference > _SKEW:
        raise Refused(
            "wrong_time",
            f"The request's time is {difference.total_seconds():.0f} s off; set the clock by NTP.",
        )


def _use_nonce(session: Session, silo: str, nonce: str, now: datetime) -> None:
    session.execute(delete(NonceRow).where(NonceRow.seen < to_text(now - _KEPT)))
    if session.get(NonceRow, (silo, nonce)) is not None:
        raise Refused("replayed_request", "This request was seen before; sign a fresh one.")
    session.add(NonceRow(silo=silo, nonce=nonce, seen=to_text(now)))
