"""The public record of a masked round: what its silos need to compute its sum again."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.errors import Refused
from agent.files import write_atomic
from agent.wire.documents import MaskTerms, RoundManifest
from agent.wire.masking.carriage import Handout
from agent.wire.masking.record import PARTS, RecordPart
from agent.wire.signed import parse
from consortium.objects import get_object
from consortium.tables import MaskedRow, PlanRow, PublishedRow, RoundRow


def read_part(session: Session, round_id: str, part: str, silo: str | None = None) -> bytes:
    """Returns one signed document of a round's record.

    Args:
        session: A transaction that sees one state.
        round_id: The round.
        part: As `agent.wire.masking.record.PARTS` names them.
        silo: Who asks; None is the operator.

    Raises:
        Refused: `unknown_round`, `not_participant`, `not_masked`, `no_sum` (it was not summed, or
            is not yet), `unknown_part`, or `lost_part`.
    """
    terms = _summed(session, round_id, silo)
    match part:
        case "roster":
            return _by_hash(session, "roster", terms.roster_sha256)
        case "plan":
            plan_id = session.get_one(RoundRow, round_id).plan_id
            return _by_hash(session, "plan", session.get_one(PlanRow, plan_id).payload_sha256)
        case "round" | "sum":
            return _of_round(session, part, round_id)[0]
        case "keys" | "uploads":
            return _handout(session, part, round_id)
        case _:
            raise Refused("unknown_part", f"A record's parts are {', '.join(PARTS)}.")


def _summed(session: Session, round_id: str, silo: str | None) -> MaskTerms:
    row = session.get(RoundRow, round_id)
    if row is None:
        raise Refused("unknown_round", "This consortium has no round of that id.")
    manifest = RoundManifest.parse(row.payload)
    if silo is not None and silo not in manifest.participants:
        raise Refused("not_participant", f"{silo} takes no part in round {round_id}.")
    if manifest.masking is None:
        raise Refused("not_masked", f"Round {round_id} is not masked: there is nothing to replay.")
    if row.state != "aggregated":
        raise Refused("no_sum", f"Round {round_id} is {row.state}; only a sum can be replayed.")
    return manifest.masking


def write_record(session: Session, round_id: str, objects: Path, folder: Path) -> int:
    """Writes a round's record and its vectors into a folder, for a silo without a connection.

    Returns:
        How many vectors there are.

    Raises:
        Refused: As `read_part`, or `vectors_gone`: the plan's next round is over.
        OSError: The folder cannot be written.
    """
    documents: dict[RecordPart, bytes] = {
        part: read_part(session, round_id, part) for part in PARTS
    }
    hashes = session.scalars(
        select(MaskedRow.vector_sha256).where(
            MaskedRow.round_id == round_id, MaskedRow.vector_sha256 != ""
        )
    ).all()
    folder.mkdir(parents=True, exist_ok=True)
    for sha256 in hashes:
        try:
            content = get_object(objects, sha256)
        except Refused as error:
            raise Refused(
                "vectors_gone",
                f"The vectors of {round_id} are gone: they stay until the plan's next round is "
                "over.",
            ) from error
        write_atomic(folder / sha256, content)
    for part, content in documents.items():
        write_atomic(folder / f"{part}.json", content)
    return len(hashes)


def _by_hash(session: Session, kind: str, sha256: str) -> bytes:
    # The newest: published again after a change of the root, it has the new officers' signatures.
    found = session.scalars(
        select(PublishedRow.document)
        .where(PublishedRow.kind == kind, PublishedRow.payload_sha256 == sha256)
        .order_by(PublishedRow.number.desc())
    ).first()
    if found is None:
        raise Refused("lost_part", f"The database lost a {kind}; restore it from backup.")
    return found


def _of_round(session: Session, kind: str, round_id: str) -> list[bytes]:
    return list(
        session.scalars(
            select(PublishedRow.document)
            .where(PublishedRow.kind == kind, PublishedRow.round_id == round_id)
            .order_by(PublishedRow.number)
        )
    )


def _handout(session: Session, part: str, round_id: str) -> bytes:
    found = _of_round(session, "handout", round_id)
    return next(one for one in found if Handout.parse(parse(one).payload).part == part)
