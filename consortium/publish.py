"""What the consortium signs, and how it gets into the feed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.clock import to_text
from agent.files import sha256_bytes
from agent.wire.documents import (
    Document,
    ObjectRef,
    Plan,
    ReleaseManifest,
    RoundManifest,
)
from agent.wire.repository import GOLDEN, MANIFEST, WEIGHTS
from agent.wire.signed import Signer, parse, sign
from consortium.objects import put_object
from consortium.repository import Listed, ReleaseRepository
from consortium.tables import PlanRow, PublishedRow, ReleaseRow, RoundRow

VALID_FOR = timedelta(days=365)
Kind = Literal["root", "roster", "catalogue", "plan", "round", "handout", "sum"]


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
    *signers: Signer,
    objects: Sequence[ObjectRef] = (),
    round_id: str | None = None,
) -> PublishedRow:
    """Signs a document and appends it to the feed.

    Args:
        session: The writing transaction; the item shows when it commits.
        kind: Kind of the document.
        document: What to sign.
        signers: Keys of the role that may sign this kind.
        objects: What the document names and a silo must have first; durable already.
        round_id: For a round, so that only its participants see it.
    """
    return append(session, kind, sign(kind, document.to_bytes(), *signers), objects, round_id)


def append(
    session: Session,
    kind: Kind,
    content: bytes,
    objects: Sequence[ObjectRef] = (),
    round_id: str | None = None,
) -> PublishedRow:
    """Appends a document to the feed that its role has signed already; checked by the caller."""
    row = PublishedRow(
        kind=kind,
        document=content,
        payload_sha256=sha256_bytes(parse(content).payload),
        round_id=round_id,
        objects=json.dumps([reference.model_dump() for reference in objects]),
    )
    session.add(row)
    session.flush()
    return row


def publish_plan(session: Session, content: bytes) -> Plan:
    """Publishes a signed plan; the engine opens its first round.

    Args:
        session: The writing transaction.
        content: The signed container, checked by the caller.
    """
    item = append(session, "plan", content)
    payload = parse(content).payload
    plan = Plan.parse(payload)
    row = PlanRow(
        plan_id=plan.plan_id,
        payload=payload,
        payload_sha256=item.payload_sha256,
        state="running",
        momentum_sha256=None,
    )
    session.add(row)
    session.flush()
    return plan


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
    publish(session, "round", manifest, aggregator, objects=(base,), round_id=manifest.round_id)


def publish_release(
    session: Session,
    manifest: RoundManifest,
    result: Result,
    repository: ReleaseRepository,
    objects: Path,
    now: datetime,
) -> str:
    """Publishes the result of a round as the next release and returns its id.

    Args:
        session: The writing transaction.
        manifest: Of the round.
        result: Its weights are in `objects` already.
        repository: Lists the release in the consortium's channel.
        objects: Where the manifest goes, durable before the transaction that names it.
        now: For the manifest.

    Raises:
        Stop: A key of the repository is missing.
        OSError: The disk is full.
    """
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
    session.flush()
    files = {MANIFEST: put_object(objects, release.to_bytes()), WEIGHTS: result.weights}
    files |= {GOLDEN: result.golden} if result.golden else {}
    listed = Listed(release.release_id, version, repository.channel)
    repository.publish(session, listed, files, now)
    return release.release_id
