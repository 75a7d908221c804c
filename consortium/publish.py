"""What the consortium signs, and how it gets into the feed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.clock import to_text
from agent.files import sha256_bytes
from agent.wire.documents import (
    Document,
    Member,
    ObjectRef,
    Plan,
    ReleaseManifest,
    Roster,
    RoundManifest,
)
from agent.wire.signed import Signer, sign
from consortium.store import members
from consortium.tables import PlanRow, PublishedRow, ReleaseRow, RoundRow

VALID_FOR = timedelta(days=365)
Kind = Literal["root", "roster", "catalogue", "plan", "round", "release"]


@dataclass(frozen=True, slots=True)
class Result:
    """What came out of a round.

    Attributes:
        weights: The new weights, durable already.
        heads: The endpoints that the weights have heads for.
        contributors: How many silos' updates are in them.
        golden: What they answer for the golden molecules, durable already; None where the plan's
            features allow none.
    """

    weights: ObjectRef
    heads: tuple[str, ...]
    contributors: int
    golden: ObjectRef | None = None


def publish(
    session: Session,
    kind: Kind,
    document: Document,
    signer: Signer,
    objects: Sequence[ObjectRef] = (),
    round_id: str | None = None,
) -> PublishedRow:
    """Signs a document and appends it to the feed.

    Args:
        session: The writing transaction; the item shows when it commits.
        kind: Kind of the document.
        document: What to sign.
        signer: The key of the role that may sign this kind.
        objects: What the document names and a silo must have first; durable already.
        round_id: For a round, so that only its participants see it.
    """
    payload = document.to_bytes()
    row = PublishedRow(
        kind=kind,
        document=sign(kind, payload, signer),
        payload_sha256=sha256_bytes(payload),
        round_id=round_id,
        objects=json.dumps([reference.model_dump() for reference in objects]),
    )
    session.add(row)
    session.flush()
    return row


def publish_roster(session: Session, consortium: str, offline: Signer, now: datetime) -> Roster:
    """Publishes the roster of all members as the next version, and returns it."""
    version = session.scalar(
        select(func.count()).select_from(PublishedRow).where(PublishedRow.kind == "roster")
    )
    roster = Roster(
        consortium=consortium,
        version=(version or 0) + 1,
        issued=to_text(now),
        expires=to_text(now + VALID_FOR),
        members=tuple(
            Member(
                silo=row.silo,
                legal_entity=row.legal_entity,
                sign_key=row.sign_key,
                seal_key=row.seal_key,
                courier_key=row.courier_key,
                not_before=row.not_before,
                expires=row.expires,
                revoked=row.revoked,
            )
            for row in members(session)
        ),
    )
    publish(session, "roster", roster, offline)
    return roster


def publish_plan(session: Session, plan: Plan, offline: Signer) -> None:
    """Publishes a plan; the engine opens its first round."""
    item = publish(session, "plan", plan, offline)
    row = PlanRow(
        plan_id=plan.plan_id,
        payload=plan.to_bytes(),
        payload_sha256=item.payload_sha256,
        state="running",
        momentum_sha256=None,
    )
    session.add(row)
    session.flush()


def publish_round(session: Session, manifest: RoundManifest, aggregator: Signer) -> None:
    """Publishes a round and begins to collect; its sealing key is on disk already."""
    base = ObjectRef(sha256=manifest.base_sha256, bytes=manifest.base_bytes)
    row = RoundRow(
        round_id=manifest.round_id,
        plan_id=manifest.plan_id,
        number=manifest.number,
        attempt=manifest.attempt,
        state="collecting",
        payload=manifest.to_bytes(),
        result_sha256=None,
        closed=None,
        destroyed=None,
    )
    session.add(row)
    publish(session, "round", manifest, aggregator, (base,), manifest.round_id)


def publish_release(
    session: Session,
    manifest: RoundManifest,
    result: Result,
    signer: Signer,
    now: datetime,
) -> str:
    """Publishes the result of a round as the next release and returns its id."""
    version = (session.scalar(select(func.max(ReleaseRow.version))) or 0) + 1
    release = ReleaseManifest(
        consortium=manifest.consortium,
        release_id=f"release-{version}",
        version=version,
        plan_id=manifest.plan_id,
        plan_sha256=manifest.plan_sha256,
        round_id=manifest.round_id,
        weights_sha256=result.weights.sha256,
        weights_bytes=result.weights.bytes,
        heads=result.heads,
        contributors=result.contributors,
        created=to_text(now),
        expires=to_text(now + VALID_FOR),
        golden_sha256=result.golden.sha256 if result.golden else None,
        golden_bytes=result.golden.bytes if result.golden else 0,
    )
    row = ReleaseRow(
        version=version,
        release_id=release.release_id,
        round_id=manifest.round_id,
        weights_sha256=result.weights.sha256,
    )
    session.add(row)
    objects = (result.weights, result.golden) if result.golden else (result.weights,)
    publish(session, "release", release, signer, objects)
    return release.release_id
