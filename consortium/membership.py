"""What ends soon: the roster, memberships, the trust root, the certificate."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from agent.clock import from_text, to_text
from agent.wire.documents import Roster, TrustRoot

WARN_BEFORE = timedelta(days=30)


def warnings(roster: Roster, now: datetime) -> Sequence[str]:
    """Says what of the roster ends within 30 days or has ended.

    A member that enrolled early ends before the roster does, for each change signs a new one.
    """
    ends = {
        f"Silo {one.silo}'s membership": one.expires for one in roster.members if not one.revoked
    }
    cure = "run `onggi-aggregator roster renew`."
    return _ending({"The roster": roster.expires, **ends}, cure, now)


def root_warnings(root: TrustRoot, now: datetime) -> Sequence[str]:
    """Says whether the trust root ends within 30 days or has ended."""
    return _ending({"The trust root": root.expires}, "run `onggi-aggregator root rotate`.", now)


def certificate_warnings(end: datetime, now: datetime) -> Sequence[str]:
    """Says whether the TLS certificate ends within 30 days or has ended."""
    cure = "a silo that pinned it must enrol again once you have made another."
    return _ending({"The TLS certificate": to_text(end)}, cure, now)


def _ending(ends: Mapping[str, str], cure: str, now: datetime) -> Sequence[str]:
    return [
        f"{what} {'ended' if from_text(end) <= now else 'ends'} at {end}; {cure}"
        for what, end in ends.items()
        if from_text(end) <= now + WARN_BEFORE
    ]
