"""The feed: what the consortium published, as far as it concerns one silo."""

import base64
import json

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.errors import Refused
from agent.wire.documents import Feed, FeedItem, ObjectRef, RoundManifest
from agent.wire.masking.carriage import Handout
from agent.wire.signed import parse
from consortium.tables import EnvelopeRow, PublishedRow, RoundRow

_PAGE = 100


def read_feed(session: Session, silo: str, after: int) -> Feed:
    """Returns what was published after a number, oldest first, at most a page of it.

    A round shows to its participants, and only while it collects: a silo that was away for a week
    fetches no weights of rounds that are over. Of a masked one the sum stays. Of rosters,
    catalogues and the channels of releases only the newest shows: an older one would look like an
    attempt to roll a new silo back. Every root shows: a silo walks from the one that it knows to
    the newest. `last` counts hidden items too, so that the next question starts behind them.

    Args:
        session: A transaction that sees one state.
        silo: Who asks.
        after: The last number that it has.
    """
    rows = session.scalars(
        select(PublishedRow)
        .where(PublishedRow.number > after)
        .order_by(PublishedRow.number)
        .limit(_PAGE)
    ).all()
    newest = _newest(session)
    items = tuple(
        _item(row, silo)
        for row in rows
        if row.number >= newest.get(row.kind, 0) and _concerns(session, row, silo)
    )
    return Feed(items=items, last=rows[-1].number if rows else after)


def read_round(session: Session, silo: str, round_id: str) -> bytes:
    """Returns the state of a round as JSON, for one of its participants.

    Raises:
        Refused: `unknown_round` or `not_participant`.
    """
    row = session.get(RoundRow, round_id)
    if row is None:
        raise Refused("unknown_round", "This consortium has no round of that id.")
    manifest = RoundManifest.parse(row.payload)
    if silo not in manifest.participants:
        raise Refused("not_participant", f"{silo} takes no part in round {round_id}.")
    counted = session.scalars(
        select(EnvelopeRow.silo)
        .where(EnvelopeRow.round_id == round_id, EnvelopeRow.state == "counted")
        .order_by(EnvelopeRow.silo)
    ).all()
    state = {
        "round_id": round_id,
        "number": row.number,
        "attempt": row.attempt,
        "state": row.state,
        "counted": list(counted),
        "deadline": manifest.deadline,
    }
    return json.dumps(state).encode()


def _newest(session: Session) -> dict[str, int]:
    found = session.execute(
        select(PublishedRow.kind, func.max(PublishedRow.number))
        .where(PublishedRow.kind.in_(("roster", "catalogue", "stable", "canary")))
        .group_by(PublishedRow.kind)
    )
    return {row[0]: row[1] for row in found}


def _concerns(session: Session, row: PublishedRow, silo: str) -> bool:
    if row.round_id is None:
        return True
    found = session.get_one(RoundRow, row.round_id)
    if row.kind != "sum" and found.state != "collecting":
        return False
    return silo in RoundManifest.parse(found.payload).participants


def _item(row: PublishedRow, silo: str) -> FeedItem:
    objects = json.loads(row.objects)
    if row.kind == "handout":  # shares of others are nothing to this silo
        handout = Handout.parse(parse(row.document).payload)
        objects = [one for one in objects if one["sha256"] == handout.shares.get(silo)]
    return FeedItem.model_validate(
        {
            "number": row.number,
            "kind": row.kind,
            "document": base64.b64encode(row.document).decode("ascii"),
            "objects": tuple(ObjectRef.model_validate(one) for one in objects),
        }
    )
