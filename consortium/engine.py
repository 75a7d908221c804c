"""Moves plans forward: opens rounds, closes them, aggregates, publishes.

`tick` may be killed anywhere. Each step is one transaction, with every file durable before the
transaction that names it; a step that was cut off is done again from the rows, and because
aggregation is deterministic it comes to the same bytes. The sealing key and the blobs of a round
go only after the transaction in which its result stands.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from agent import log
from agent.clock import from_text, to_text
from agent.errors import Refused, Stop
from agent.files import fsync_folder
from agent.keys import load_hybrid, load_sealing
from agent.wire.documents import ObjectRef, Plan, RoundManifest
from consortium.answers import Registrar, Subject
from consortium.closing import NewWeights, move, sum_up
from consortium.folder import Folder, Signers
from consortium.golden import put_golden
from consortium.masked import MaskedRounds, Summed
from consortium.opening import Opener, Running, key_path
from consortium.publish import Result, publish_release
from consortium.repository import open_repository
from consortium.roots import newest_root, root_in_force, settle_keys
from consortium.rounds import Attempt, decide, is_last, releases_after
from consortium.starting import first_weights
from consortium.store import (
    Store,
    catalogue,
    envelopes_of,
    held_count,
    latest_round,
    newest,
    roster,
    standing,
)
from consortium.tables import EnvelopeRow, PlanRow, RoundRow

if TYPE_CHECKING:
    from agent.wire.envelope import Unsealer

_logger = logging.getLogger(__name__)
_REFRESH_EVERY = timedelta(minutes=5)


class Engine:
    """Runs every plan of one aggregator; one engine at a time (the caller holds the lock).

    Args:
        store: The database.
        folder: Where objects, blobs and round keys are.
        signers: Keys to sign rounds with.
        registrar: Signs refusals of updates that cannot be opened.
    """

    def __init__(
        self, store: Store, folder: Folder, signers: Signers, registrar: Registrar
    ) -> None:
        self._store = store
        self._folder = folder
        self._repository = open_repository(folder)
        self._opener = Opener(folder.round_keys, signers.aggregator)
        self._registrar = registrar
        self._masked = MaskedRounds(store, folder, signers.aggregator, registrar)
        self._stuck: set[str] = set()
        self._look_again: datetime | None = None
        self._settled_root = 0

    def tick(self, now: datetime) -> bool:
        """Does the next step of every plan.

        Returns:
            Whether anything was done; call again at once if so.

        Raises:
            TryLater: The database is busy or its disk is full.
            OSError: The disk is full; nothing was changed.
        """
        self._settle_keys()
        self._destroy_secrets(now)
        self._refresh(now)
        with self._store.reading() as session:
            rows = session.scalars(
                select(PlanRow).where(PlanRow.state == "running").order_by(PlanRow.plan_id)
            ).all()
        moved = False
        for row in rows:
            try:
                moved = self._advance(Running.of(row), now) or moved
                self._stuck.discard(row.plan_id)
            except Refused as refusal:
                # One plan's lost weights must not stop the others, nor fill the log.
                if row.plan_id not in self._stuck:
                    log.trouble(_logger, "plan_stuck", plan=row.plan_id, code=refusal.code)
                self._stuck.add(row.plan_id)
        return moved

    def _settle_keys(self) -> None:
        # The command that published a root may have been killed before it did this, and silos
        # would refuse whatever the former key signs from then on.
        with self._store.reading() as session:
            newest = newest_root(session)
            if newest == self._settled_root:
                return
            root = root_in_force(session, self._folder)
        try:
            settle_keys(self._folder, root)
        except Stop as error:  # said once: a person must put the key right, and start anew
            log.trouble(_logger, "online_key_not_settled", why=str(error))
        self._settled_root = newest

    def _refresh(self, now: datetime) -> None:
        if self._look_again is not None and now < self._look_again:
            return
        self._look_again = now + _REFRESH_EVERY
        with self._store.reading() as session:
            due = self._repository.due(session, now)
        if not due:
            return
        try:
            with self._store.writing() as session:
                self._repository.refresh(session, now)
        except Stop as error:  # a key is away: rounds go on, and silos will say that it expired
            log.trouble(_logger, "repository_not_refreshed", why=str(error))
        else:
            log.event(_logger, "repository_refreshed")

    def _advance(self, running: Running, now: datetime) -> bool:
        with self._store.reading() as session:
            latest = latest_round(session, running.plan.plan_id)
            held = held_count(session, latest.round_id) if latest else 0
            in_standing = standing(session)
        if latest is None:
            return self._begin(running, now)
        manifest = RoundManifest.parse(latest.payload)
        if latest.state == "closed":
            return self._finish(running, manifest, now)
        if manifest.masking is not None:
            return self._advance_masked(running, manifest, now)
        expected = len(in_standing.intersection(manifest.participants))
        decision = decide(held, expected, running.plan.quorum, manifest, now)
        if decision == "close":
            self._close(manifest, now)
        elif decision == "abort":
            self._abort(running, manifest, {}, now)
        return decision != "wait"

    def _advance_masked(self, running: Running, manifest: RoundManifest, now: datetime) -> bool:
        progress = self._masked.advance(manifest, now)
        if progress == "close":
            self._close(manifest, now)
        elif progress == "abort":
            self._abort(running, manifest, {}, now)
        return progress != "wait"

    def _begin(self, running: Running, now: datetime) -> bool:
        plan = running.plan
        if now < from_text(plan.not_before):
            return False
        base = first_weights(plan, self._folder.objects)
        with self._store.writing() as session:
            self._opener.open(session, running, Attempt(1, 1), base, now)
        log.event(_logger, "plan_begun", plan=plan.plan_id)
        return True

    def _close(self, manifest: RoundManifest, now: datetime) -> None:
        with self._store.writing() as session:
            _change(session, manifest.round_id, "collecting", "closed", now)
            _discard(session, manifest.round_id, "arriving")
        log.event(_logger, "round_closed", round=manifest.round_id)

    def _abort(
        self, running: Running, manifest: RoundManifest, refused: Mapping[str, str], now: datetime
    ) -> None:
        with self._store.writing() as session:
            row = session.get_one(RoundRow, manifest.round_id)
            _change(session, manifest.round_id, row.state, "aborted", now)
            self._refuse(session, refused, now)
            _discard(session, manifest.round_id, "arriving", "held")
            base = ObjectRef(sha256=manifest.base_sha256, bytes=manifest.base_bytes)
            again = Attempt(manifest.number, manifest.attempt).again()
            self._opener.open(session, running, again, base, now)
        log.trouble(_logger, "round_aborted", round=manifest.round_id, refused=len(refused))

    def _finish(self, running: Running, manifest: RoundManifest, now: datetime) -> bool:
        plan = running.plan
        with self._store.reading() as session:
            seen = newest(session, "roster").number
            known = catalogue(session)
            momentum = session.get_one(PlanRow, plan.plan_id).momentum_sha256
        summed = self._sum(plan, manifest, now)
        if summed is None or len(summed.aggregate.counted) < plan.quorum:
            refused = {} if summed is None else summed.aggregate.refused
            self._abort(running, manifest, refused, now)
            return True
        outcome = summed.aggregate
        new = move(self._folder, plan, manifest, outcome.delta, momentum)
        golden = None
        if releases_after(plan, manifest.number):
            golden = put_golden(self._folder.objects, new.weights, plan, known)
        new = replace(new, golden=golden)
        with self._store.writing() as session:
            if newest(session, "roster").number != seen:
                return True  # a silo may have been revoked meanwhile: sum up anew
            self._refuse(session, outcome.refused, now)
            _count(session, outcome.counted)
            if summed.publication:
                self._masked.publish(session, manifest, summed.publication, now)
            self._publish(session, running, manifest, new, now)
        log.event(_logger, "round_aggregated", round=manifest.round_id, n=len(outcome.counted))
        return True

    def _sum(self, plan: Plan, manifest: RoundManifest, now: datetime) -> Summed | None:
        if manifest.masking is not None:
            try:
                return self._masked.outcome(manifest, plan, now)
            except Refused as refusal:
                log.trouble(_logger, "no_sum", round=manifest.round_id, code=refusal.code)
                return None
        try:
            path = key_path(self._folder.round_keys, manifest.round_id)
            load = load_sealing if manifest.kem_key is None else load_hybrid
            key: Unsealer = load(path, "round")
        except Stop:
            # Without it nobody can open these envelopes any more, so the round starts anew.
            log.trouble(_logger, "round_key_lost", round=manifest.round_id)
            return None
        with self._store.reading() as session:
            rows = envelopes_of(session, manifest.round_id, "held")
            trusted = roster(session)
        return Summed(sum_up(rows, trusted, self._folder.blobs, key, (plan, manifest.number)), b"")

    def _publish(
        self,
        session: Session,
        running: Running,
        manifest: RoundManifest,
        new: NewWeights,
        now: datetime,
    ) -> None:
        # One transaction for the count, the result, the release and the next round: after a kill
        # either all of it stands, or the envelopes still wait to be counted.
        plan = running.plan
        _change(session, manifest.round_id, "closed", "aggregated", now)
        session.get_one(RoundRow, manifest.round_id).result_sha256 = new.weights.sha256
        session.get_one(PlanRow, plan.plan_id).momentum_sha256 = new.momentum_sha256
        if releases_after(plan, manifest.number):
            counted = len(envelopes_of(session, manifest.round_id, "counted"))
            result = Result(new.weights, plan.endpoints, counted, new.golden)
            publish_release(session, manifest, result, self._repository, self._folder.objects, now)
        if is_last(plan, manifest.number):
            session.get_one(PlanRow, plan.plan_id).state = "finished"
        else:
            following = Attempt(manifest.number, manifest.attempt).following()
            self._opener.open(session, running, following, new.weights, now)

    def _refuse(self, session: Session, refused: Mapping[str, str], now: datetime) -> None:
        for envelope_id in sorted(refused):
            row = session.get_one(EnvelopeRow, envelope_id)
            row.state = "refused"
            subject = Subject(envelope_id, row.silo, row.round_id)
            self._registrar.refuse(
                session, subject, Refused("bad_update", refused[envelope_id]), now
            )

    def _destroy_secrets(self, now: datetime) -> None:
        with self._store.reading() as session:
            over = session.scalars(
                select(RoundRow.round_id).where(
                    RoundRow.state.in_(("aggregated", "aborted")), RoundRow.destroyed.is_(None)
                )
            ).all()
        for round_id in over:
            self._destroy(round_id, now)

    def _destroy(self, round_id: str, now: datetime) -> None:
        with self._store.reading() as session:
            blobs = session.scalars(
                select(EnvelopeRow.envelope_id).where(EnvelopeRow.round_id == round_id)
            ).all()
            momenta = set(session.scalars(select(PlanRow.momentum_sha256)).all())
        key_path(self._folder.round_keys, round_id).unlink(missing_ok=True)
        for envelope_id in blobs:
            (self._folder.blobs / envelope_id).unlink(missing_ok=True)
        self._masked.forget_vectors(round_id)
        for path in self._folder.momenta.iterdir():
            if path.name not in momenta:
                path.unlink()
        fsync_folder(self._folder.round_keys)
        with self._store.writing() as session:
            session.get_one(RoundRow, round_id).destroyed = to_text(now)


def _change(session: Session, round_id: str, before: str, after: str, now: datetime) -> None:
    session.flush()
    claimed = session.scalars(
        update(RoundRow)
        .where(RoundRow.round_id == round_id, RoundRow.state == before)
        .values(state=after, closed=to_text(now))
        .returning(RoundRow.round_id)
    ).all()
    if not claimed:
        raise Stop(f"Round {round_id} changed under this engine; two of them serve one folder.")


def _discard(session: Session, round_id: str, *states: str) -> None:
    session.flush()
    session.execute(
        update(EnvelopeRow)
        .where(EnvelopeRow.round_id == round_id, EnvelopeRow.state.in_(states))
        .values(state="discarded")
    )


def _count(session: Session, envelope_ids: tuple[str, ...]) -> None:
    for envelope_id in envelope_ids:
        session.get_one(EnvelopeRow, envelope_id).state = "counted"
