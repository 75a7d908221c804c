"""Who stays in the roster: renewing it for another year, and revoking a silo for good."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from agent import log
from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.wire.documents import Roster
from agent.wire.signed import Signer
from consortium.publish import VALID_FOR, publish_roster
from consortium.store import members
from consortium.tables import MemberRow

_logger = logging.getLogger(__name__)
_WARN_BEFORE = timedelta(days=30)


def renew(session: Session, consortium: str, offline: Signer, now: datetime) -> Roster:
    """Lets every silo that is not revoked stay for another year, and publishes the next roster.

    Works after the old roster's end, too: couriers are let in again at once, and fetch it.
    """
    for row in members(session):
        if not row.revoked:
            row.expires = to_text(now + VALID_FOR)
    session.flush()
    renewed = publish_roster(session, consortium, offline, now)
    log.event(_logger, "roster_renewed", version=renewed.version)
    return renewed


def revoke(session: Session, silo: str, consortium: str, offline: Signer, now: datetime) -> Roster:
    """Shuts a silo out for good and publishes the next roster.

    From the commit on its courier is refused, and the envelopes that are held of it are not
    counted. Its name and keys stay taken.

    Raises:
        Refused: `unknown_silo` or `already_revoked`.
    """
    row = session.get(MemberRow, silo)
    if row is None:
        raise Refused("unknown_silo", f"No silo {silo!r} is enrolled here; see `roster list`.")
    if row.revoked:
        raise Refused("already_revoked", f"Silo {silo} is revoked already; nothing was changed.")
    row.revoked = True
    session.flush()
    roster = publish_roster(session, consortium, offline, now)
    log.trouble(_logger, "silo_revoked", silo=silo, version=roster.version)
    return roster


def warnings(roster: Roster, now: datetime) -> Sequence[str]:
    """Says what of the roster ends within 30 days or has ended.

    A member that enrolled early ends before the roster does, for each enrolment signs a new one.
    """
    ends = {
        f"Silo {one.silo}'s membership": one.expires for one in roster.members if not one.revoked
    }
    return [
        f"{what} {'ended' if from_text(end) <= now else 'ends'} at {end}; run "
        "`onggi-aggregator roster renew`."
        for what, end in {"The roster": roster.expires, **ends}.items()
        if from_text(end) <= now + _WARN_BEFORE
    ]
