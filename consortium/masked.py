"""Masked rounds at the aggregator: a step is closed, handed out, and the sum taken at the end.

`agent.wire.masking.aggregator` decides; here are the rows that it is fed from and the objects that
it names. The disk holds masked vectors and sealed shares, and no key opens either: the round's own
key only takes the transport's seal off.
"""

import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent import log
from agent.clock import from_text
from agent.errors import Refused, Stop
from agent.files import sha256_bytes
from agent.keys import load_hybrid, load_sealing
from agent.wire.documents import ObjectRef, Plan, RoundManifest
from agent.wire.envelope import open_blob
from agent.wire.masking.aggregator import AggregatorRound
from agent.wire.masking.carriage import (
    Handout,
    Part,
    SealedShares,
    Uploaded,
    pack_upload,
    unpack_upload,
)
from agent.wire.masking.documents import Upload
from agent.wire.signed import Signer, sign
from consortium.aggregate import Aggregate, check_update
from consortium.answers import Registrar, Subject
from consortium.closing import AtRest
from consortium.folder import Folder, load_settings
from consortium.masked_messages import kept, made, setting_of
from consortium.objects import get_object, put_object
from consortium.opening import key_path
from consortium.publish import append
from consortium.store import Store, envelopes_of, newest, roster
from consortium.tables import AnswerRow, EnvelopeRow, MaskedRow, RoundRow

if TYPE_CHECKING:
    from agent.wire.envelope import Unsealer

_logger = logging.getLogger(__name__)
Progress = Literal["wait", "moved", "close", "abort"]


@dataclass(slots=True)
class _Live:
    """A round in memory, and the number of the last row that it was fed."""

    round: AggregatorRound
    seen: int = 0
    acked: bool = False


@dataclass(frozen=True, slots=True)
class Summed:
    """What a masked round came to.

    Attributes:
        aggregate: As of any round.
        publication: The signed `Publication`.
    """

    aggregate: Aggregate
    publication: bytes


class MaskedRounds:
    """Moves masked rounds forward; one engine at a time.

    Args:
        store: The database.
        folder: Where blobs, round keys and objects are.
        aggregator: Signs handouts and sums.
        registrar: Signs refusals of uploads that are none.
    """

    def __init__(
        self, store: Store, folder: Folder, aggregator: Signer, registrar: Registrar
    ) -> None:
        self._store = store
        self._folder = folder
        self._aggregator = aggregator
        self._registrar = registrar
        self._live: dict[str, _Live] = {}

    def advance(self, manifest: RoundManifest, now: datetime) -> Progress:
        """Does the round's next step; `close` when the sum can be taken, `abort` when it cannot.

        Raises:
            Stop: The roster that the round began with is lost.
            OSError: The disk is full; nothing was changed.
        """
        try:
            self._open_uploads(manifest, now)
            live = self._catch_up(manifest.round_id)
            return self._close_step(live, manifest, now)
        except Refused as refusal:
            self._live.pop(manifest.round_id, None)
            log.trouble(
                _logger, "masked_round_given_up", round=manifest.round_id, code=refusal.code
            )
            return "abort"

    def outcome(self, manifest: RoundManifest, plan: Plan, now: datetime) -> Summed:
        """Takes the sum of a round all of whose steps are over.

        Raises:
            Refused: `too_few_shares`, `bad_shares`, a code of `check_update`, or a lost vector.
        """
        live = self._catch_up(manifest.round_id)
        with self._store.reading() as session:
            envelopes = {row.silo: row for row in envelopes_of(session, manifest.round_id, "held")}
            uploads = _rows(session, manifest.round_id, 0, "masked_upload")
            vectors = {row.silo: row.vector_sha256 for row in uploads}
        objects = self._folder.objects
        done = live.round.publish(lambda silo: get_object(objects, vectors[silo]), now)
        u1, u2 = live.round.u1, live.round.u2
        if done is None or u1 is None or u2 is None:
            raise Refused("out_of_order", "The round's steps are not over yet.")
        publication, total = done
        mean = u1.layout.read(total).mean()
        # Nobody's own step can be looked at any more: the sum's is what there is to bound.
        check_update(mean, dict.fromkeys(u1.layout.groups, 1.0), plan.recipe)
        counted = tuple(envelopes[silo].envelope_id for silo in u2.uploads)
        self._live.pop(manifest.round_id, None)
        container = sign(publication.kind, publication.to_bytes(), self._aggregator)
        return Summed(Aggregate(mean, counted, {}), container)

    def publish(
        self, session: Session, manifest: RoundManifest, publication: bytes, now: datetime
    ) -> None:
        """Publishes a sum in the transaction that ends its round."""
        append(session, "sum", publication, round_id=manifest.round_id)
        session.add(made(manifest.round_id, "sum", "", publication, now))

    def forget_vectors(self, round_id: str) -> None:
        """Removes a plan's vectors but those of its last sums, which may be replayed or audited."""
        last = load_settings(self._folder).audit_rounds
        with self._store.reading() as session:
            plan_id = session.get_one(RoundRow, round_id).plan_id
            kept_for = session.scalars(
                select(RoundRow.round_id)
                .where(RoundRow.plan_id == plan_id, RoundRow.state == "aggregated")
                .order_by(RoundRow.number.desc())
                .limit(last)
            ).all()
            stale = session.scalars(
                select(MaskedRow.vector_sha256)
                .join(RoundRow, RoundRow.round_id == MaskedRow.round_id)
                .where(RoundRow.plan_id == plan_id)
                .where(RoundRow.round_id.not_in((*kept_for, round_id)))
                .where(RoundRow.state.in_(("aggregated", "aborted")))
                .where(MaskedRow.vector_sha256 != "")
            ).all()
        for sha256 in stale:
            (self._folder.objects / sha256).unlink(missing_ok=True)

    def _close_step(self, live: _Live, manifest: RoundManifest, now: datetime) -> Progress:
        part: Part
        if live.round.u1 is None:
            part, content = "keys", live.round.close_keys(now)
        elif live.round.u2 is None:
            self._check_roster(manifest)
            part, content = "uploads", live.round.close_uploads(now)
        elif not live.acked:
            part, content = "acks", live.round.close_acks(now)
        else:
            return "close" if live.round.has_shares(now) else "wait"
        if content is None:
            return "wait"
        self._hand_out(live, manifest, part, content, now)
        return "moved"

    def _check_roster(self, manifest: RoundManifest) -> None:
        # A silo that was revoked meanwhile must not be in the sum, nor count for anybody.
        with self._store.reading() as session:
            in_force = newest(session, "roster").payload_sha256
        if manifest.masking is None or manifest.masking.roster_sha256 != in_force:
            raise Refused("wrong_roster", "The roster has changed since the round began.")

    def _hand_out(
        self, live: _Live, manifest: RoundManifest, part: Part, content: bytes, now: datetime
    ) -> None:
        shares = self._shares(live) if part == "uploads" else {}
        handout = Handout(
            consortium=manifest.consortium,
            round_id=manifest.round_id,
            part=part,
            content=base64.b64encode(content).decode("ascii"),
            shares={silo: one.sha256 for silo, one in shares.items()},
        )
        signed = sign(handout.kind, handout.to_bytes(), self._aggregator)
        row = made(manifest.round_id, part, "", content, now)
        with self._store.writing() as session:
            last = select(func.max(MaskedRow.number)).where(MaskedRow.round_id == row.round_id)
            if (session.scalar(last) or 0) != live.seen:
                # A message came in between: the set is made anew, with it.
                self._live.pop(manifest.round_id, None)
                return
            append(session, "handout", signed, list(shares.values()), manifest.round_id)
            session.add(row)
            session.flush()
            live.seen = row.number
        live.acked = part == "acks"
        log.event(_logger, "masked_step_closed", round=manifest.round_id, part=part)

    def _shares(self, live: _Live) -> dict[str, ObjectRef]:
        u2 = live.round.u2
        return {
            silo: put_object(
                self._folder.objects, SealedShares.of(live.round.sealed_for(silo)).to_bytes()
            )
            for silo in (u2.uploads if u2 is not None else ())
        }

    def _catch_up(self, round_id: str) -> _Live:
        with self._store.reading() as session:
            live = self._live.get(round_id)
            if live is None:
                setting = setting_of(session, session.get_one(RoundRow, round_id))
                live = _Live(AggregatorRound(setting))
                self._live[round_id] = live
            rows = _rows(session, round_id, live.seen)
        for row in rows:
            self._feed(live, row)
            live.seen = row.number
        return live

    def _feed(self, live: _Live, row: MaskedRow) -> None:
        at = from_text(row.taken)
        match row.step:
            case "keys":
                live.round.close_keys(at)
            case "uploads":
                live.round.close_uploads(at)
            case "acks":
                live.round.close_acks(at)
                live.acked = True
            case _:
                try:
                    self._feed_message(live.round, row, at)
                except Refused as refusal:  # a silo's fault, which must not end the others' round
                    log.trouble(
                        _logger, "masked_message_left_out", silo=row.silo, code=refusal.code
                    )

    def _feed_message(self, one: AggregatorRound, row: MaskedRow, at: datetime) -> None:
        match row.step:
            case "masked_keys":
                one.take_keys(row.content, at)
            case "masked_upload":
                found = unpack_upload(row.content)
                vector = get_object(self._folder.objects, row.vector_sha256)
                one.take_upload(found.message, found.sealed.opened(), vector, at)
            case "masked_ack":
                one.take_ack(row.content, at)
            case _:
                one.take_shares(row.content, at)

    def _open_uploads(self, manifest: RoundManifest, now: datetime) -> None:
        with self._store.reading() as session:
            if kept(session, manifest.round_id, "uploads") is not None:
                return
            opened = {row.silo for row in _rows(session, manifest.round_id, 0, "masked_upload")}
            held = [
                row
                for row in envelopes_of(session, manifest.round_id, "held")
                if row.silo not in opened
            ]
            known = roster(session)
        if not held:
            return
        key = self._key(manifest)  # that it is lost is no silo's fault
        for row in held:
            rest = AtRest(row.envelope_id, row.header, known, self._folder.blobs / row.envelope_id)
            try:
                self._keep(manifest, row, _opened(key, rest), now)
            except Refused as refusal:
                self._refuse(row, refusal, now)

    def _key(self, manifest: RoundManifest) -> "Unsealer":
        load = load_sealing if manifest.kem_key is None else load_hybrid
        try:
            return load(key_path(self._folder.round_keys, manifest.round_id), "round")
        except Stop as error:  # nobody can open these envelopes any more: the round starts anew
            raise Refused("round_key_lost", str(error)) from error

    def _keep(
        self, manifest: RoundManifest, row: EnvelopeRow, found: Uploaded, now: datetime
    ) -> None:
        with self._store.reading() as session:
            setting = setting_of(session, session.get_one(RoundRow, manifest.round_id))
        upload = setting.read(Upload, found.message)
        if upload.silo != row.silo or sha256_bytes(found.vector) != upload.vector_sha256:
            raise Refused("wrong_vector", "The envelope holds another silo's, or another, vector.")
        stored = put_object(self._folder.objects, found.vector)
        content = pack_upload(found.message, found.sealed.opened(), b"")
        with self._store.writing() as session:
            # It is in time if its receipt is, whenever this process comes to open it.
            came = _received(session, row.envelope_id, now)
            session.add(
                made(manifest.round_id, "masked_upload", row.silo, content, came, stored.sha256)
            )

    def _refuse(self, row: EnvelopeRow, why: Refused, now: datetime) -> None:
        with self._store.writing() as session:
            session.get_one(EnvelopeRow, row.envelope_id).state = "refused"
            subject = Subject(row.envelope_id, row.silo, row.round_id)
            self._registrar.refuse(session, subject, Refused("bad_update", why.reason), now)


def _received(session: Session, envelope_id: str, now: datetime) -> datetime:
    answered = session.scalars(
        select(AnswerRow.answered).where(
            AnswerRow.envelope_id == envelope_id, AnswerRow.kind == "receipt"
        )
    ).first()
    return now if answered is None else from_text(answered)


def _rows(session: Session, round_id: str, after: int, *steps: str) -> Sequence[MaskedRow]:
    found = select(MaskedRow).where(MaskedRow.round_id == round_id, MaskedRow.number > after)
    if steps:
        found = found.where(MaskedRow.step.in_(steps))
    return session.scalars(found.order_by(MaskedRow.number)).all()


def _opened(key: "Unsealer", rest: AtRest) -> Uploaded:
    with rest.open() as blob:
        return unpack_upload(open_blob(rest.header, blob, key))
