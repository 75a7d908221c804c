"""What silos say of their own accord: that they decline, and the roots of their egress logs."""

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.clock import to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.records import Json
from agent.wire.merkle import EMPTY_ROOT
from agent.wire.roster import signing_keys
from agent.wire.statements import Declined, EgressRoot, Proof, Statement, verify_statement
from agent.wire.statements import verify_proof as verify_with_keys
from consortium.store import roster
from consortium.tables import PlanRow, StatementRow

# One root a day and a few objections: a silo that sends so many would fill the disk.
MAX_STATEMENTS = 10_000


def judge_statement(
    session: Session, content: bytes, silo: str, consortium: str, now: datetime
) -> StatementRow:
    """Believes a statement or refuses it; the caller adds the row and answers.

    Args:
        session: The caller's transaction.
        content: The signed container.
        silo: Who brought it, authenticated by its courier key.
        consortium: This consortium.
        now: The time.

    Raises:
        Refused: `unknown_signer`, `revoked`, `wrong_consortium`, `wrong_silo`, `unknown_plan`,
            `wrong_plan`, `too_many_statements`, `inconsistent_log`, `root_gap`, or a code of
            `verify_statement`.
    """
    statement = verify_statement(content, *_keys(session, silo))
    if statement.consortium != consortium:
        raise Refused("wrong_consortium", f"This statement is for {statement.consortium}.")
    if statement.silo != silo:
        raise Refused("wrong_silo", f"Silo {silo} signed a statement in another's name.")
    kept = select(func.count()).where(StatementRow.silo == silo)
    if (session.scalar(kept) or 0) >= MAX_STATEMENTS:
        raise Refused("too_many_statements", f"Of silo {silo} no more statements are kept.")
    row = _row(session, content, statement, now)
    if isinstance(statement, Declined):
        _check_plan(session, statement)
        row.plan_id, row.round_id = statement.plan_id, statement.round_id
        row.codes = json.dumps(statement.codes)
    else:
        _check_root(session, statement)
        row.size, row.root = statement.size, statement.root
    return row


def restart_egress(session: Session, silo: str, now: datetime) -> None:
    """Lets a silo's next root go on from any other; what came before stays on record.

    For a silo that was restored from an old copy of its ledger, once its operator has said so.

    Raises:
        Refused: `unknown_silo`: it has no root here.
    """
    if silo not in {row.silo for row in _rows(session, "egress_root")}:
        raise Refused("unknown_silo", f"No root of silo {silo!r} was countersigned here.")
    index = _next_index(session)
    session.add(
        StatementRow(
            statement_id=f"restart-{index}",
            log_index=index,
            silo=silo,
            kind="egress_restart",
            document=b"",
            received=to_text(now),
        )
    )


def declined(session: Session) -> list[Json]:
    """Lists what was declined, in the order of coming."""
    return [
        {
            "silo": row.silo,
            "plan_id": row.plan_id,
            "round_id": row.round_id,
            "codes": json.loads(row.codes or "[]"),
            "at": row.received,
        }
        for row in _rows(session, "declined")
    ]


def egress_roots(session: Session) -> list[Json]:
    """Lists the last countersigned root of each silo's egress log, by silo."""
    last = {row.silo: row for row in _rows(session, "egress_root")}
    return [
        {"silo": silo, "size": row.size, "root": row.root, "at": row.received}
        for silo, row in sorted(last.items())
    ]


def check_proof(session: Session, proof: Proof) -> dict[str, Json]:
    """Checks what `onggi egress prove` wrote, against the roster and the roots that came here.

    Returns:
        The leaf without its header, the silo, and whether this aggregator countersigned the root.

    Raises:
        Refused: `unknown_signer`: no silo of the roster signed the root; or a code of
            `verify_proof`.
    """
    for member in roster(session).members:
        try:
            leaf, root = verify_with_keys(proof, *signing_keys(member))
        except Refused as refusal:
            if refusal.code != "unknown_signer":
                raise
            continue
        known = {row.root for row in _rows(session, "egress_root") if row.silo == root.silo}
        fields: dict[str, Json] = leaf.model_dump(mode="json", exclude={"header"})
        return {**fields, "silo": root.silo, "countersigned": root.root in known}
    raise Refused("unknown_signer", "No silo of the roster signed the root in this proof.")


def _keys(session: Session, silo: str) -> tuple[str, ...]:
    for member in roster(session).members:
        if member.silo == silo:
            if member.revoked:
                raise Refused("revoked", f"The key of silo {silo} was revoked.")
            return signing_keys(member)
    raise Refused("unknown_signer", f"The roster has no silo {silo}.")


def _check_plan(session: Session, statement: Declined) -> None:
    plan = session.get(PlanRow, statement.plan_id)
    if plan is None:
        raise Refused("unknown_plan", f"This consortium has no plan {statement.plan_id}.")
    if plan.payload_sha256 != statement.plan_sha256:
        raise Refused("wrong_plan", f"Plan {statement.plan_id} has other bytes than were declined.")


def _check_root(session: Session, statement: EgressRoot) -> None:
    rows = _rows(session, "egress_root", "egress_restart")
    before = [row for row in rows if row.silo == statement.silo]
    size, root = (before[-1].size, before[-1].root) if before else (0, EMPTY_ROOT.hex())
    # A silo that was restored from an old copy, or that shows another log to another, is found.
    restarted = bool(before) and before[-1].kind == "egress_restart"
    if not restarted and (statement.after_size, statement.after_root) != (size, root):
        raise Refused(
            "root_gap",
            f"The last root that was countersigned here has {size} leaves, and this one goes on "
            f"from another of {statement.after_size}.",
        )
    if not statement.follows():
        raise Refused(
            "inconsistent_log",
            f"This root does not go on from the one of {size} leaves: a leaf was altered or "
            "removed.",
        )


def _row(session: Session, content: bytes, statement: Statement, now: datetime) -> StatementRow:
    return StatementRow(
        statement_id=sha256_bytes(content),
        log_index=_next_index(session),
        silo=statement.silo,
        kind=statement.kind,
        document=content,
        received=to_text(now),
    )


def _next_index(session: Session) -> int:
    return (session.scalar(select(func.max(StatementRow.log_index))) or 0) + 1


def _rows(session: Session, *kinds: str) -> Sequence[StatementRow]:
    return session.scalars(
        select(StatementRow).where(StatementRow.kind.in_(kinds)).order_by(StatementRow.log_index)
    ).all()
