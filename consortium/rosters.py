"""The next roster: what waits is put together for the officers, and counts once they signed it.

The signed roster is the truth; the rows of `members` only repeat it for quick questions.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.wire.documents import Member, Roster
from agent.wire.roster import key_of, member_of
from consortium.publish import VALID_FOR
from consortium.store import roster
from consortium.tables import ApplicationRow, MemberRow, RotationRow

# An envelope lives for seven days; a day more for clocks.
_RETIRES_AFTER = timedelta(days=8)
_CLOCKS_DIFFER = timedelta(minutes=5)
_PURPOSES = ("sign", "seal", "courier")
_Row = TypeVar("_Row", ApplicationRow, RotationRow)


@dataclass(frozen=True, slots=True)
class Changes:
    """What the next roster shall change.

    Attributes:
        admit: Silos that wait for admission; None admits all of them.
        rotate: Silos whose new keys are taken in; None takes all in.
        renew: Whether every silo that is not revoked stays for another year.
        revoke: Silos that are shut out for good.
    """

    admit: Collection[str] | None = ()
    rotate: Collection[str] | None = ()
    renew: bool = False
    revoke: Collection[str] = ()


def first_roster(consortium: str, now: datetime) -> Roster:
    """Returns the roster that a consortium is founded with: nobody."""
    return Roster(
        consortium=consortium,
        version=1,
        issued=to_text(now),
        expires=to_text(now + VALID_FOR),
        members=(),
    )


def applications(session: Session) -> list[ApplicationRow]:
    """Lists the silos that wait for admission, by name."""
    return list(session.scalars(select(ApplicationRow).order_by(ApplicationRow.silo)))


def rotations(session: Session) -> list[RotationRow]:
    """Lists the new keys that wait for a roster, by silo and purpose."""
    order = (RotationRow.silo, RotationRow.purpose)
    return list(session.scalars(select(RotationRow).order_by(*order)))


def next_roster(session: Session, changes: Changes, now: datetime) -> Roster:
    """Puts the next roster together; nothing changes before officers have signed it.

    Raises:
        Refused: `unknown_silo`, `already_revoked`, `not_waiting` (a silo that is named does not
            wait for that), or `nothing_to_change`.
    """
    old = roster(session)
    _check_revoked(old, changes.revoke)
    new = _wanted(applications(session), changes.admit)
    keys = _wanted(rotations(session), changes.rotate)
    if not (new or keys or changes.renew or changes.revoke):
        raise Refused("nothing_to_change", "Nothing waits, and nothing was asked to change.")
    members = [_changed(one, changes, keys, now) for one in old.members]
    members += [_admitted(row, now) for row in new]
    return old.model_copy(
        update={
            "version": old.version + 1,
            "issued": to_text(now),
            "expires": to_text(now + VALID_FOR),
            "members": tuple(sorted(members, key=lambda one: one.silo)),
        }
    )


def adopt(session: Session, old: Roster, new: Roster) -> list[str]:
    """Makes the rows follow a roster that the officers signed, in the caller's transaction.

    What a roster may not do, even signed: forget a silo (its name and keys stay taken), take a
    revocation back, or name keys that no silo has asked for here.

    Args:
        session: The writing transaction.
        old: The roster in force until now.
        new: The next one; its signatures were checked.

    Returns:
        The nonces of the tokens whose silos are members from now on.

    Raises:
        Refused: `stale_roster`, `lost_member`, `un_revoked`, or `unknown_key`.
    """
    if new.version != old.version + 1:
        raise Refused(
            "stale_roster",
            f"Roster {old.version} is in force, so the next is {old.version + 1} and not "
            f"{new.version}; propose it anew.",
        )
    for one in old.members:
        _check_kept(one, member_of(new, one.silo))
    return [nonce for one in new.members for nonce in _adopt_one(session, one)]


def _check_kept(old: Member, new: Member | None) -> None:
    if new is None:
        raise Refused("lost_member", f"The roster leaves out silo {old.silo}; revoke it instead.")
    if old.revoked and not new.revoked:
        raise Refused("un_revoked", f"Silo {old.silo} was revoked, and that is for good.")
    if old.pq_sign_key != new.pq_sign_key:
        raise Refused("unknown_key", f"Silo {old.silo} asked for no other post-quantum key.")


def _adopt_one(session: Session, member: Member) -> list[str]:
    row = session.get(MemberRow, member.silo)
    if row is None:
        return [_adopt_new(session, member)]
    for purpose in _PURPOSES:
        _adopt_key(session, row, purpose, key_of(member, purpose))
    row.legal_entity, row.not_before = member.legal_entity, member.not_before
    row.expires, row.revoked = member.expires, member.revoked
    session.flush()
    return []


def _adopt_new(session: Session, member: Member) -> str:
    found = session.get(ApplicationRow, member.silo)
    if (
        found is None
        or found.pq_sign_key != member.pq_sign_key
        or any(getattr(found, f"{purpose}_key") != key_of(member, purpose) for purpose in _PURPOSES)
    ):
        raise Refused(
            "unknown_key",
            f"Silo {member.silo} has not asked for admission here with the keys of this roster; "
            "propose it anew.",
        )
    session.add(
        MemberRow(
            silo=member.silo,
            legal_entity=member.legal_entity,
            sign_key=member.sign_key,
            seal_key=member.seal_key,
            courier_key=member.courier_key,
            reference_sha256=found.reference_sha256,
            not_before=member.not_before,
            expires=member.expires,
            revoked=member.revoked,
        )
    )
    nonce = found.nonce
    session.delete(found)
    session.flush()
    return nonce


def _adopt_key(session: Session, row: MemberRow, purpose: str, key: str) -> None:
    if getattr(row, f"{purpose}_key") == key:
        return
    asked = session.get(RotationRow, (row.silo, purpose))
    if asked is None or asked.new_key != key:
        raise Refused(
            "unknown_key",
            f"Silo {row.silo} has not asked for this new key to {purpose}; propose it anew.",
        )
    setattr(row, f"{purpose}_key", key)
    session.delete(asked)
    session.flush()


def _check_revoked(old: Roster, silos: Iterable[str]) -> None:
    for silo in silos:
        member = member_of(old, silo)
        if member is None:
            raise Refused("unknown_silo", f"No silo {silo!r} is enrolled; see `roster list`.")
        if member.revoked:
            raise Refused(
                "already_revoked", f"Silo {silo} is revoked already; nothing was changed."
            )


def _wanted(rows: list[_Row], silos: Collection[str] | None) -> list[_Row]:
    if silos is None:
        return rows
    if strange := sorted(set(silos) - {row.silo for row in rows}):
        raise Refused(
            "not_waiting", f"Silo {strange[0]!r} does not wait for that; see `roster pending`."
        )
    return [row for row in rows if row.silo in silos]


def _changed(old: Member, changes: Changes, keys: Iterable[RotationRow], now: datetime) -> Member:
    update: dict[str, object] = _still_retiring(old, now)
    for row in keys:
        if row.silo == old.silo and not old.revoked:
            update[f"{row.purpose}_key"] = row.new_key
            if row.purpose == "sign":
                update |= {"retiring_sign_key": old.sign_key, "retired": to_text(now)}
    if changes.renew and not old.revoked:
        update["expires"] = to_text(now + VALID_FOR)
    if old.silo in changes.revoke:
        update |= {"revoked": True, "retiring_sign_key": None, "retired": None}
    return old.model_copy(update=update)


def _still_retiring(old: Member, now: datetime) -> dict[str, object]:
    if old.retired is None or now < from_text(old.retired) + _RETIRES_AFTER:
        return {}
    return {"retiring_sign_key": None, "retired": None}


def _admitted(row: ApplicationRow, now: datetime) -> Member:
    fields: Mapping[str, str | None] = {
        "silo": row.silo,
        "legal_entity": row.legal_entity,
        "sign_key": row.sign_key,
        "seal_key": row.seal_key,
        "courier_key": row.courier_key,
        "pq_sign_key": row.pq_sign_key,
        "not_before": to_text(now - _CLOCKS_DIFFER),
        "expires": to_text(now + VALID_FOR),
    }
    return Member.model_validate(fields)
