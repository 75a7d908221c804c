"""What an operator may see without a key: counts and ids, nothing else."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.records import Json
from agent.wire.documents import Plan, Roster, RoundManifest
from consortium.certificate import certificate_end
from consortium.folder import Folder
from consortium.membership import certificate_warnings, root_warnings, warnings
from consortium.repository import alarms
from consortium.roots import root_in_force
from consortium.rosters import applications, rotations
from consortium.rounds import MOST_SPOILT
from consortium.statements import declined, egress_roots
from consortium.store import roster, standing
from consortium.tables import AnswerRow, EnvelopeRow, PlanRow, ReleaseRow, RoundRow
from consortium.verdicts import verdicts_of


def read_status(
    session: Session, folder: Folder, consortium: str, now: datetime
) -> dict[str, Json]:
    """Returns the state of the consortium; every list is in order of creation.

    Args:
        session: A transaction that sees one state.
        folder: The aggregator's folder, for its roots and its certificate.
        consortium: This consortium.
        now: The time, for what expires soon.
    """
    current = roster(session)
    rounds = session.scalars(
        select(RoundRow).order_by(RoundRow.plan_id, RoundRow.number, RoundRow.attempt)
    ).all()
    plans = session.scalars(select(PlanRow).order_by(PlanRow.plan_id)).all()
    releases = session.scalars(select(ReleaseRow).order_by(ReleaseRow.version)).all()
    return {
        "consortium": consortium,
        "members": list[Json](sorted(standing(session))),
        "roster": {"version": current.version, "expires": current.expires},
        "pending": [row.silo for row in applications(session)],
        "warnings": list[Json]([*_warnings(session, folder, current, now), *alarms(session, now)]),
        "plans": [_plan(session, row) for row in plans],
        "rounds": [_round(session, row) for row in rounds],
        "refused": _refused(_refusals(session, None)),
        "declined": declined(session),
        "egress_roots": egress_roots(session),
        "releases": [_release(session, row) for row in releases],
    }


def _warnings(session: Session, folder: Folder, current: Roster, now: datetime) -> list[str]:
    root = root_in_force(session, folder)
    lines = [*warnings(current, now), *root_warnings(root, now)]
    if folder.certificate.exists():
        lines += certificate_warnings(certificate_end(folder.certificate), now)
    lines += [
        f"Silo {row.silo} waits for admission; see `onggi-aggregator roster pending`."
        for row in applications(session)
    ]
    lines += [
        f"Silo {row.silo} has a new key to {row.purpose}, which waits for a roster; see "
        "`onggi-aggregator roster pending`."
        for row in rotations(session)
    ]
    return lines


def describe(status: Mapping[str, Json]) -> str:
    """Writes the status as lines for people."""
    lines = [f"Consortium {status['consortium']}: {len(_list(status, 'members'))} silos"]
    lines += [f"warning: {one['']}" for one in _list(status, "warnings")]
    lines += [_plan_line(one) for one in _list(status, "plans")]
    for one in _list(status, "rounds"):
        counts = ", ".join(f"{len(_list(one, key))} {key}" for key in ("counted", "refused"))
        lines.append(f"round {_text(one, 'round_id', 'state')}, {one['held']} held, {counts}")
    for one in _list(status, "declined"):
        codes = ", ".join(str(code[""]) for code in _list(one, "codes")) or "without a reason"
        lines.append(f"declined {one['round_id'] or one['plan_id']} by {one['silo']}: {codes}")
    lines += [f"refused {_text(one, 'envelope_id', 'code')}" for one in _list(status, "refused")]
    lines += [_release_line(one) for one in _list(status, "releases")]
    for one in _list(status, "egress_roots"):
        lines.append(f"egress of {one['silo']}: {one['size']} leaves, root {one['root']}")
    return "\n".join(lines)


def _list(of: Mapping[str, Json], key: str) -> list[dict[str, Json]]:
    value = of[key]
    if not isinstance(value, list):
        return []
    return [one if isinstance(one, dict) else {"": one} for one in value]


def _text(of: Mapping[str, Json], *keys: str) -> str:
    return " ".join(str(of[key]) for key in keys)


def _plan(session: Session, row: PlanRow) -> Json:
    why = _why_stalled(session, row) if row.state == "stalled" else ""
    return {"plan_id": row.plan_id, "state": row.state, "why": why}


def _why_stalled(session: Session, row: PlanRow) -> str:
    plan = Plan.parse(row.payload)
    left = len(standing(session).intersection(plan.participants))
    if left < plan.quorum:
        return f"{left} silos are left of its quorum of {plan.quorum}; publish a new plan."
    return (
        f"Bad updates spoilt {MOST_SPOILT} attempts at one round, and without the refused silos "
        f"its quorum of {plan.quorum} is not met; have them mended, then publish a new plan."
    )


def _plan_line(one: Mapping[str, Json]) -> str:
    why = f": {one['why']}" if one["why"] else ""
    return f"plan {_text(one, 'plan_id', 'state')}{why}"


def _round(session: Session, row: RoundRow) -> Json:
    manifest = RoundManifest.parse(row.payload)
    envelopes = session.scalars(
        select(EnvelopeRow).where(EnvelopeRow.round_id == row.round_id).order_by(EnvelopeRow.silo)
    ).all()
    return {
        "round_id": row.round_id,
        "plan_id": row.plan_id,
        "number": row.number,
        "attempt": row.attempt,
        "state": row.state,
        "deadline": manifest.deadline,
        "participants": list(manifest.participants),
        "held": sum(one.state == "held" for one in envelopes),
        "counted": [
            {"silo": one.silo, "envelope_id": one.envelope_id}
            for one in envelopes
            if one.state == "counted"
        ],
        "refused": _refused(_refusals(session, row.round_id)),
        "base_sha256": manifest.base_sha256,
        "result_sha256": row.result_sha256,
    }


def _release_line(one: Mapping[str, Json]) -> str:
    said = [
        f"{_text(word, 'silo', 'outcome')}" + (f" ({word['reason']})" if word["reason"] else "")
        for word in _list(one, "verdicts")
    ]
    return f"release {_text(one, 'release_id', 'round_id')}: " + (", ".join(said) or "no verdict")


def _release(session: Session, row: ReleaseRow) -> Json:
    return {
        "release_id": row.release_id,
        "version": row.version,
        "round_id": row.round_id,
        "weights_sha256": row.weights_sha256,
        "verdicts": verdicts_of(session, row.release_id),
    }


def _refusals(session: Session, round_id: str | None) -> Sequence[AnswerRow]:
    return session.scalars(
        select(AnswerRow)
        .where(AnswerRow.kind == "refusal", AnswerRow.round_id.is_not_distinct_from(round_id))
        .order_by(AnswerRow.log_index)
    ).all()


def _refused(rows: Sequence[AnswerRow]) -> list[Json]:
    return [{"envelope_id": row.envelope_id, "silo": row.silo, "code": row.code} for row in rows]
