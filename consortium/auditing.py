"""Commit and audit at the aggregator: what it announces, what it shows, and the check from files.

The folder of an audit is complete in itself: the challenge, the trust roots, a record for each
chosen round, and in `objects/` the masked vectors and weights that the records name. Whoever checks
it needs the hash of the first trust root and the silos' answers, and no word of the aggregator's.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.clock import from_text, to_text
from agent.errors import Refused, Stop
from agent.files import sha256_bytes, write_atomic
from agent.wire.averaging import Sums, step
from agent.wire.document import Document, Name, Sha256
from agent.wire.documents import RoundManifest
from agent.wire.masking.audit import (
    KIND,
    Announcement,
    Answer,
    Answers,
    Challenge,
    Shown,
    check_announced,
    check_round,
    chosen,
)
from agent.wire.masking.documents import MAX_SILOS
from agent.wire.masking.setting import Setting
from agent.wire.network import expected_shapes
from agent.wire.signed import Signer, parse, sign
from agent.wire.trusted import Trusted
from agent.wire.update import decode, encode
from consortium.folder import Folder
from consortium.masked_messages import kept, setting_of
from consortium.objects import get_object, put_object
from consortium.roots import published_roots
from consortium.tables import MaskedRow, PublishedRow, RoundRow

CHALLENGE, TRUST, ROUNDS, OBJECTS = "challenge.json", "trust.json", "rounds", "objects"
_Read = TypeVar("_Read", bound=Document)


class Roots(Document):
    """The trust roots as published, oldest first, in base64."""

    roots: tuple[str, ...]


class Record(Document):
    """What the aggregator shows of one round: signed containers and sets, in base64.

    Attributes:
        roots: How many trust roots there were when the round began.
        roster, catalogue, plan, manifest: As published, with their signatures.
        key_set, upload_set, ack_set: As handed out.
        publication: The signed sum.
        following: The signed manifest of the round after it; empty after a plan's last.
        vectors: The objects that hold the masked vectors, by silo.
    """

    roots: Annotated[int, Field(ge=1)]
    roster: str
    catalogue: str
    plan: str
    manifest: str
    key_set: str
    upload_set: str
    ack_set: str
    publication: str
    following: str = ""
    vectors: Annotated[dict[Name, Sha256], Field(max_length=MAX_SILOS)]


@dataclass(frozen=True, slots=True)
class Finding:
    """What an audit found of a round whose every check passed.

    Attributes:
        round_id: Which.
        silos: Whose vectors are in the sum, and who answered.
        moved: Whether the sum was followed to the next round's weights; false where there is none,
            or where the plan's averaging keeps a state.
    """

    round_id: str
    silos: tuple[str, ...]
    moved: bool


def announce(
    session: Session, folder: Folder, consortium: str, aggregator: Signer, now: datetime
) -> bytes:
    """Signs which masked rounds can be looked into: those whose vectors are still here.

    Raises:
        Refused: `nothing_to_audit`.
    """
    sums = session.scalars(select(MaskedRow).where(MaskedRow.step == "sum")).all()
    rounds = {
        row.round_id: sha256_bytes(parse(row.content).payload)
        for row in sums
        if _has_all(folder, _vectors(session, row.round_id).values())
    }
    if not rounds:
        raise Refused(
            "nothing_to_audit",
            "No masked round is over whose vectors are still kept; see `init --audit-rounds`.",
        )
    announced = Announcement(consortium=consortium, rounds=rounds, created=to_text(now))
    return sign(KIND, announced.to_bytes(), aggregator)


def show(session: Session, folder: Folder, asked: Challenge, target: Path) -> tuple[str, ...]:
    """Lays everything about the chosen rounds into a folder; returns which they are.

    Raises:
        Refused: `not_announced`, `damaged_object`, `unknown_object`, or a code of `chosen`.
        OSError: The folder cannot be written.
    """
    rounds = chosen(
        parse(_unb64(asked.announcement)).payload, bytes.fromhex(asked.coin), asked.count
    )
    for name in (ROUNDS, OBJECTS):
        (target / name).mkdir(parents=True, exist_ok=True)
    roots = published_roots(session, folder)
    write_atomic(target / CHALLENGE, asked.to_bytes())
    write_atomic(target / TRUST, Roots(roots=tuple(map(_b64, roots))).to_bytes())
    for round_id in rounds:
        record = _record(session, round_id)
        base = RoundManifest.parse(parse(_unb64(record.manifest)).payload).base_sha256
        for sha256 in (base, *record.vectors.values()):
            put_object(target / OBJECTS, get_object(folder.objects, sha256))
        write_atomic(target / ROUNDS / f"{round_id}.json", record.to_bytes())
    return rounds


def check(folder: Path, pinned: str, answers: Iterable[Answers], now: datetime) -> list[Finding]:
    """Checks an audit's folder against the silos' answers.

    Args:
        folder: As `show` laid it out; nothing in it is believed.
        pinned: SHA-256 of the first trust root's payload, from elsewhere.
        answers: Of every silo that took part.
        now: The time.

    Raises:
        Refused: `missing_record`, `wrong_round`, `wrong_step` (the sum did not move the weights as
            the plan says), or a code of `Trusted`, `chosen`, `check_announced` or `check_round`.
    """
    asked = _read(folder / CHALLENGE, Challenge)
    roots = [_unb64(one) for one in _read(folder / TRUST, Roots).roots]
    announcement = _trusted(roots, pinned, now).announcement(_unb64(asked.announcement))
    payload = parse(_unb64(asked.announcement)).payload
    said = {(one.round_id, one.silo): one for each in answers for one in each.answers}
    findings = []
    for round_id in chosen(payload, bytes.fromhex(asked.coin), asked.count):
        own = {silo: one for (of, silo), one in said.items() if of == round_id}
        findings.append(_checked(folder, round_id, announcement, own, (roots, pinned)))
    return findings


def _checked(
    folder: Path,
    round_id: str,
    announcement: Announcement,
    answers: Mapping[str, Answer],
    trust: tuple[list[bytes], str],
) -> Finding:
    record = _read(folder / ROUNDS / f"{round_id}.json", Record)
    roots, pinned = trust
    # The round is believed as of the time when it began: a roster may have expired since.
    manifest = RoundManifest.parse(parse(_unb64(record.manifest)).payload)
    then = from_text(manifest.opens)
    trusted = _trusted(roots[: record.roots], pinned, then)
    shown = _shown(trusted, record, then)
    if shown.setting.manifest.round_id != round_id:
        raise Refused("wrong_round", f"What is shown as {round_id} is another round.")
    check_announced(announcement, parse(_unb64(record.publication)).payload, round_id)
    objects = folder / OBJECTS
    sums = check_round(
        shown, answers, lambda silo: get_object(objects, record.vectors.get(silo, ""))
    )
    silos = tuple(sorted(shown.publication.own))
    return Finding(round_id, silos, _moved(trusted, shown.setting, record, sums, objects))


def _shown(trusted: Trusted, record: Record, then: datetime) -> Shown:
    roster = trusted.take_roster(_unb64(record.roster), then, remembered=True)
    trusted.take_catalogue(_unb64(record.catalogue), remembered=True)
    plan = trusted.take_plan(_unb64(record.plan), then, remembered=True)
    manifest = trusted.take_round(_unb64(record.manifest), then)
    sha256 = sha256_bytes(parse(_unb64(record.manifest)).payload)
    setting = Setting(manifest, sha256, plan, roster, trusted.roster_sha256)
    setting.check()
    return Shown(
        setting,
        _unb64(record.key_set),
        _unb64(record.upload_set),
        _unb64(record.ack_set),
        trusted.masked_sum(_unb64(record.publication)),
    )


def _moved(trusted: Trusted, setting: Setting, record: Record, sums: Sums, objects: Path) -> bool:
    plan, manifest = setting.plan, setting.manifest
    if not record.following or plan.recipe.optimizer == "adam" or plan.recipe.server_momentum:
        return False
    content = _unb64(record.following)
    then = from_text(RoundManifest.parse(parse(content).payload).opens)
    following = trusted.take_round(content, then)
    if (following.plan_id, following.number) != (plan.plan_id, manifest.number + 1):
        raise Refused("wrong_round", f"{following.round_id} does not follow {manifest.round_id}.")
    shapes = expected_shapes(plan.network, plan.features, plan.endpoints)
    base = decode(get_object(objects, manifest.base_sha256), shapes)
    weights, _ = step(base, sums.mean(), {}, 0.0)
    if sha256_bytes(encode(weights)) != following.base_sha256:
        raise Refused(
            "wrong_step", f"The weights after {manifest.round_id} are not what its sum makes them."
        )
    return True


def _record(session: Session, round_id: str) -> Record:
    row = session.get(RoundRow, round_id)
    published = _published(session, "round", round_id)
    if row is None or published is None:
        raise Refused("not_announced", f"This consortium has no round {round_id}.")
    setting = setting_of(session, row)
    before = select(PublishedRow).where(
        PublishedRow.kind == "root", PublishedRow.number < published.number
    )
    after = session.scalars(
        select(RoundRow)
        .where(RoundRow.plan_id == row.plan_id, RoundRow.number == row.number + 1)
        .order_by(RoundRow.attempt)
    ).first()
    following = _published(session, "round", after.round_id) if after else None
    parts = {part: _closed(session, round_id, part) for part in ("keys", "uploads", "acks", "sum")}
    return Record(
        roots=1 + len(session.scalars(before).all()),
        roster=_by_hash(session, "roster", setting.roster_sha256),
        catalogue=_by_hash(session, "catalogue", setting.plan.catalogue_sha256),
        plan=_by_hash(session, "plan", setting.manifest.plan_sha256),
        manifest=_b64(published.document),
        key_set=parts["keys"],
        upload_set=parts["uploads"],
        ack_set=parts["acks"],
        publication=parts["sum"],
        following=_b64(following.document) if following else "",
        vectors=_vectors(session, round_id),
    )


def _published(session: Session, kind: str, round_id: str) -> PublishedRow | None:
    return session.scalars(
        select(PublishedRow).where(PublishedRow.kind == kind, PublishedRow.round_id == round_id)
    ).first()


def _by_hash(session: Session, kind: str, payload_sha256: str) -> str:
    row = session.scalars(
        select(PublishedRow).where(
            PublishedRow.kind == kind, PublishedRow.payload_sha256 == payload_sha256
        )
    ).first()
    if row is None:
        raise Stop(f"The database lost the {kind} of a round; restore it from backup.")
    return _b64(row.document)


def _closed(session: Session, round_id: str, part: str) -> str:
    row = kept(session, round_id, part)
    if row is None:
        raise Refused("not_announced", f"Round {round_id} has no sum.")
    return _b64(row.content)


def _vectors(session: Session, round_id: str) -> dict[str, str]:
    rows = session.scalars(
        select(MaskedRow).where(MaskedRow.round_id == round_id, MaskedRow.step == "masked_upload")
    ).all()
    return {row.silo: row.vector_sha256 for row in rows}


def _has_all(folder: Folder, hashes: Iterable[str]) -> bool:
    return all((folder.objects / sha256).is_file() for sha256 in hashes)


def _trusted(roots: list[bytes], pinned: str, now: datetime) -> Trusted:
    if not roots:
        raise Refused("wrong_root", "The folder holds no trust root.")
    return Trusted(roots[0], pinned, now, roots[1:])


def _read(path: Path, model: type[_Read]) -> _Read:
    try:
        return model.parse(path.read_bytes())
    except OSError as error:
        raise Refused("missing_record", f"The audit's folder lacks {path.name}.") from error


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("malformed", "A field of the audit is not valid base64.") from error
