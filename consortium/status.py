"""What an operator may see without a key: counts and ids, nothing else."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.records import Json
from agent.wire.documents import RoundManifest
from consortium.store import members
from consortium.tables import AnswerRow, EnvelopeRow, PlanRow, ReleaseRow, RoundRow


def read_status(session: Session, consortium: str) -> dict[str, Json]:
    """Returns the state of the consortium; every list is in order of creation."""
    rounds = session.scalars(
        select(RoundRow).order_by(RoundRow.plan_id, RoundRow.number, RoundRow.attempt)
    ).all()
    plans = session.scalars(select(PlanRow).order_by(PlanRow.plan_id)).all()
    releases = session.scalars(select(ReleaseRow).order_by(ReleaseRow.version)).all()
    return {
        "consortium": consortium,
        "members": [row.silo for row in members(session) if not row.revoked],
        "plans": [{"plan_id": row.plan_id, "state": row.state} for row in plans],
        "rounds": [_round(session, row) for row in rounds],
        "refused": _refused(_refusals(session, None)),
        "releases": [_release(row) for row in releases],
    }


def describe(status: Mapping[str, Json]) -> str:
    """Writes the status as lines for people."""
    lines = [f"Consortium {status['consortium']}: {len(_list(status, 'members'))} silos"]
    lines += [f"plan {_text(one, 'plan_id', 'state')}" for one in _list(status, "plans")]
    for one in _list(status, "rounds"):
        counts = ", ".join(f"{len(_list(one, key))} {key}" for key in ("counted", "refused"))
        lines.append(f"round {_text(one, 'round_id', 'state')}, {one['held']} held, {counts}")
    lines += [f"refused {_text(one, 'envelope_id', 'code')}" for one in _list(status, "refused")]
    lines += [
        f"release {_text(one, 'release_id', 'round_id')}" for one in _list(status, "releases")
    ]
    return "\n".join(lines)


def _list(of: Mapping[str, Json], key: str) -> list[dict[str, Json]]:
    value = of[key]
    if not isinstance(value, list):
        return []
    return [one if isinstance(one, dict) else {"": one} for one in value]


def _text(of: Mapping[str, Json], *keys: str) -> str:
    return " ".join(str(of[key]) for key in keys)


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


def _release(row: ReleaseRow) -> Json:
    return {
        "release_id": row.release_id,
        "version": row.version,
        "round_id": row.round_id,
        "weights_sha256": row.weights_sha256,
    }


def _refusals(session: Session, round_id: str | None) -> Sequence[AnswerRow]:
    return session.scalars(
        select(AnswerRow)
        .where(AnswerRow.kind == "refusal", AnswerRow.round_id.is_not_distinct_from(round_id))
        .order_by(AnswerRow.log_index)
    ).all()


def _refused(rows: Sequence[AnswerRow]) -> list[Json]:
    return [{"envelope_id": row.envelope_id, "silo": row.silo, "code": row.code} for row in rows]
