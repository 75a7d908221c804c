"""Publishing weights by hand: the operator's release, checked as a silo will check it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.errors import Refused, Stop
from agent.wire.documents import Catalogue, Plan, RoundManifest
from agent.wire.golden import MOST_BYTES, Golden
from agent.wire.network import check_magnitudes, expected_shapes
from agent.wire.update import decode
from consortium.folder import Folder
from consortium.golden import golden_of
from consortium.objects import put_object
from consortium.publish import Result, publish_release
from consortium.repository import open_repository
from consortium.store import catalogue, envelopes_of
from consortium.tables import PlanRow, RoundRow


@dataclass(frozen=True, slots=True)
class Files:
    """What the operator publishes.

    Attributes:
        weights: A safetensors file.
        golden: A file of golden molecules; None computes the ones that these weights have.
        unchecked: Publish it although it fails the consortium's own checks. For rehearsals: every
            silo refuses it.
    """

    weights: Path
    golden: Path | None = None
    unchecked: bool = False


def publish_weights(
    session: Session,
    folder: Folder,
    plan_id: str | None,
    files: Files,
    now: datetime,
) -> str:
    """Publishes weights as the next release of a plan and returns the release's id.

    Args:
        session: The writing transaction.
        folder: Where the objects go.
        plan_id: Whose network it is; None takes the plan whose round ended last.
        files: What to publish.
        now: The time.

    Raises:
        Stop: A file cannot be read.
        Refused: `unknown_plan`, `no_round` (none is aggregated yet), `wrong_golden`, a code of
            `decode`, or `absurd_weights`.
        OSError: The disk is full.
    """
    manifest, contributors, plan = _last_round(session, plan_id)
    content = _read(files.weights)
    golden = _golden(content, files, plan, catalogue(session))
    weights = put_object(folder.objects, content)
    named = put_object(folder.objects, golden) if golden is not None else None
    result = Result(weights, plan.endpoints, contributors, named)
    repository = open_repository(folder)
    return publish_release(session, manifest, result, repository, folder.objects, now)


def golden_file(session: Session, plan_id: str | None, weights: Path) -> bytes:
    """Returns the golden molecules that belong to a file of weights.

    Raises:
        Stop: The file cannot be read.
        Refused: As `publish_weights`, and as `golden_of`.
    """
    _, _, plan = _last_round(session, plan_id)
    return _computed(_read(weights), plan, catalogue(session)).to_bytes()


def _last_round(session: Session, plan_id: str | None) -> tuple[RoundManifest, int, Plan]:
    query = select(RoundRow).where(RoundRow.state == "aggregated")
    if plan_id is not None:
        if session.get(PlanRow, plan_id) is None:
            raise Refused("unknown_plan", f"This consortium has no plan {plan_id!r}.")
        query = query.where(RoundRow.plan_id == plan_id)
    row = session.scalars(query.order_by(RoundRow.closed.desc(), RoundRow.number.desc())).first()
    if row is None:
        raise Refused("no_round", "No round is aggregated yet; there is nothing to stand beside.")
    manifest = RoundManifest.parse(row.payload)
    plan = Plan.parse(session.get_one(PlanRow, row.plan_id).payload)
    return manifest, len(envelopes_of(session, row.round_id, "counted")), plan


def _golden(content: bytes, files: Files, plan: Plan, known: Catalogue) -> bytes | None:
    given = _read(files.golden) if files.golden is not None else None
    if given is not None and len(given) > MOST_BYTES:
        raise Refused("wrong_golden", f"Golden molecules have at most {MOST_BYTES} bytes.")
    try:
        right = _computed(content, plan, known)
    except Refused:
        if not files.unchecked:
            raise
        return given
    if given is None:
        return right.to_bytes()
    if not files.unchecked and Golden.parse(given) != right:
        raise Refused(
            "wrong_golden",
            "These golden answers are not those of these weights; every silo will refuse them. "
            "For a rehearsal publish with --unchecked.",
        )
    return given


def _computed(content: bytes, plan: Plan, known: Catalogue) -> Golden:
    weights = decode(content, expected_shapes(plan.network, plan.features, plan.endpoints))
    check_magnitudes(weights)
    return golden_of(weights, plan, known)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stop(f"Cannot read {path}: {error.strerror}.") from error
