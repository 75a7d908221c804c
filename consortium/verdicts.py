"""What silos say of releases: kept with their signatures, shown by silo."""

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.errors import Refused
from agent.records import Json
from agent.wire.roster import signing_keys
from agent.wire.verdict import Verdict, verify_verdict
from consortium.store import roster
from consortium.tables import ReleaseRow, VerdictRow


def judge_verdict(
    session: Session, envelope_id: str, content: bytes, silo: str, consortium: str
) -> Verdict:
    """Believes a silo's verdict on a release of this consortium and keeps it.

    Args:
        session: The writing transaction.
        envelope_id: SHA-256 of the container.
        content: The signed container.
        silo: Who brought it, authenticated by its courier's key.
        consortium: This consortium.

    Raises:
        Refused: `unknown_signer`, `revoked`, `wrong_silo`, `wrong_consortium`, `unknown_release`,
            or a code of `verify_verdict`.
    """
    verdict = verify_verdict(content, *_keys(session, silo))
    if verdict.silo != silo:
        raise Refused("wrong_silo", f"Silo {silo} speaks in another's name.")
    if verdict.consortium != consortium:
        raise Refused("wrong_consortium", f"This verdict is for {verdict.consortium}.")
    keep_verdict(session, verdict, envelope_id, content)
    return verdict


def keep_verdict(session: Session, verdict: Verdict, envelope_id: str, content: bytes) -> None:
    """Keeps a verdict whose signature, silo and consortium were checked.

    Raises:
        Refused: `unknown_release`: no release of that id, or one of other weights.
    """
    release = session.scalars(
        select(ReleaseRow).where(ReleaseRow.release_id == verdict.release_id)
    ).first()
    if release is None or release.weights_sha256 != verdict.weights_sha256:
        raise Refused("unknown_release", "This consortium published no such release.")
    session.add(
        VerdictRow(
            envelope_id=envelope_id,
            silo=verdict.silo,
            release_id=verdict.release_id,
            outcome=verdict.outcome,
            reason=verdict.reason,
            heads=json.dumps({head.task: head.outcome for head in verdict.heads}),
            created=verdict.created,
            document=content,
        )
    )


def verdicts_of(session: Session, release_id: str) -> list[Json]:
    """Returns each silo's last word on a release, by silo."""
    rows = session.scalars(
        select(VerdictRow).where(VerdictRow.release_id == release_id).order_by(VerdictRow.created)
    ).all()
    last = {row.silo: row for row in rows}
    return [
        {
            "silo": silo,
            "outcome": row.outcome,
            "reason": row.reason,
            "heads": json.loads(row.heads),
            "at": row.created,
        }
        for silo, row in sorted(last.items())
    ]


def _keys(session: Session, silo: str) -> tuple[str, ...]:
    for member in roster(session).members:
        if member.silo == silo:
            if member.revoked:
                raise Refused("revoked", f"The key of silo {silo} was revoked.")
            return signing_keys(member)
    raise Refused("unknown_signer", "No silo in the roster has the key that signed this.")
