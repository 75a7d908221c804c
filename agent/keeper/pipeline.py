"""The one place that knows the order of stages: letters, files, snapshot, rounds, releases.

`advance` may be called at any time and after any kill: each stage looks at the ledger, does what
is due, and commits before anything that depends on it.
"""

import logging
from datetime import datetime
from pathlib import Path

from agent import log
from agent.errors import Refused
from agent.files import publish_folder, write_atomic
from agent.keeper.intake import Intake
from agent.keeper.jobs import Workers
from agent.keeper.leaving import Leaving
from agent.keeper.mail import Mail
from agent.keeper.masking import Masking
from agent.keeper.orders import (
    MOMENTS,
    BaselineOrder,
    IngestOrder,
    Order,
    ReferenceOrder,
    ReleaseOrder,
    Result,
    RoundOrder,
    SnapshotOrder,
)
from agent.keeper.plans import plan_in_force
from agent.keeper.reference import References
from agent.keeper.rollout import Rollout
from agent.keeper.site import Site
from agent.keeper.snapshots import Snapshots
from agent.keeper.timekeeping import check_clock
from agent.keeper.training import Ready, Rounds
from agent.ledger.book import Item, Ledger
from agent.wire.documents import Plan
from agent.wire.trusted import Trusted

_log = logging.getLogger(__name__)


class Pipeline:
    """Joins the stages; each stage knows nothing of the others.

    Args:
        ledger: The keeper's memory.
        workers: Who does the heavy work.
        trusted: What is believed.
        mail, intake, snapshots, rounds, rollout: The stages.
        site: What this silo is; each stage that orders training has it, too.
        leaving: The stages that decide what leaves.
        references: The stage that lays out what predict may show.
        masking: This silo's part in masked rounds.
    """

    def __init__(  # noqa: PLR0913 - it joins all stages, and does nothing else
        self,
        ledger: Ledger,
        workers: Workers,
        trusted: Trusted,
        mail: Mail,
        intake: Intake,
        snapshots: Snapshots,
        rounds: Rounds,
        rollout: Rollout,
        site: Site,
        leaving: Leaving,
        references: References,
        masking: Masking,
    ) -> None:
        self._ledger = ledger
        self._workers = workers
        self._trusted = trusted
        self._mail = mail
        self._intake = intake
        self._snapshots = snapshots
        self._rounds = rounds
        self._rollout = rollout
        self._site = site
        self._leaving = leaving
        self._references = references
        self._masking = masking

    def recover(self, now: datetime) -> None:
        """Once after a start: picks up what a kill left."""
        self._workers.recover(now)
        self._leaving.recover()

    def advance(self, now: datetime, at_s: float) -> None:
        """Does everything that is due, in order.

        Args:
            now: For whatever has a date.
            at_s: The same moment on a clock that never steps back.
        """
        check_clock(self._ledger, now)
        self._workers.watch(at_s)
        self._mail.take_all(now)
        self._leaving.decide(now)
        for job, result in self._workers.ended(now):
            self._book(job, result, now)
        if self._trusted.catalogue is not None:
            self._intake.order(self._trusted.catalogue, self._site.private, now)
        self._rounds.close_late(now)
        if not self._intake.busy:
            self._advance_learning(now)
        self._masking.advance(self._leaving.policy, now, approval=self._leaving.needs_approval)
        self._leaving.settle(now)
        self._rollout.start_trials(now)
        self._rollout.judge_trials(now)
        self._workers.start_next(now)

    def prepare(self) -> None:
        """Lets workers load while files still rest: one will read them, and one will freeze."""
        if not self._intake.busy:
            self._workers.prepare(0)
        else:
            self._workers.prepare(1 if self._workers.is_running("ingest") else 2)

    def _advance_learning(self, now: datetime) -> None:
        plan = plan_in_force(self._ledger, self._trusted, now)
        ready = self._prepare(plan, now) if plan is not None else None
        self._rounds.order(plan, ready, now, self._leaving.holds_back(now))
        self._order_reference(plan, ready, now)
        for ended in self._rollout.plans():
            if ended != plan:
                self._prepare(ended, now)
        self._rollout.order(self._snapshots.scored, now)

    def _order_reference(self, plan: Plan | None, ready: Ready | None, now: datetime) -> None:
        catalogue = self._trusted.catalogue
        if plan is not None and ready is not None and catalogue is not None:
            self._references.order(ready, plan.features, catalogue, now)

    def _prepare(self, plan: Plan, now: datetime) -> Ready | None:
        self._snapshots.order(plan, now, self._replicate_limits())
        ready = self._snapshots.ready(plan)
        if ready is not None and self._trusted.catalogue is not None:
            self._snapshots.order_baseline(ready, plan, self._trusted.catalogue, now)
        return ready

    def _replicate_limits(self) -> dict[str, float]:
        catalogue = self._trusted.catalogue
        shared = catalogue.endpoints if catalogue is not None else ()
        limits = {endpoint.id: endpoint.max_replicate_sd for endpoint in shared}
        limits |= {f"private:{own.id}": own.max_replicate_sd for own in self._site.private}
        return {task: limit for task, limit in limits.items() if limit is not None}

    def _book(self, job: Item, result: Result, now: datetime) -> None:
        order = self._workers.order(job)
        folder = self._workers.path(job.id)
        try:
            with self._ledger.transaction():
                if result.refused:
                    self._give_up(order, result, now)
                else:
                    self._book_done(order, result, folder, now)
                self._workers.finish(job, result, now)
        except Refused as error:
            log.trouble(_log, "job refused", job=job.id, code=error.code)
            self._book(job, Result(refused_code=error.code, refused=error.reason), now)
            return
        if result.refused:
            log.trouble(_log, "job failed", job=job.id, code=result.refused_code)
        self._workers.clear(job)

    def _book_done(self, order: Order, result: Result, folder: Path, now: datetime) -> None:
        match order:
            case IngestOrder():
                self._adopt_parts(folder, Path(order.parts))
                self._intake.book(result.files, now)
            case SnapshotOrder():
                _adopt(folder / "snapshot", Path(order.folder))
                self._snapshots.book_frozen(order, result, now)
            case ReferenceOrder():
                self._references.book(order, folder)
            case BaselineOrder():
                self._snapshots.book_baseline(order, result, now)
            case RoundOrder():
                self._book_round(order, result, folder, now)
            case ReleaseOrder():
                self._rollout.book(order, result, folder / "release", now)

    def _book_round(self, order: RoundOrder, result: Result, folder: Path, now: datetime) -> None:
        update = (folder / "update.safetensors").read_bytes()
        if order.manifest.masking is None:
            approval = self._leaving.needs_approval
            self._rounds.seal(order, result, update, now, approval=approval)
        else:
            self._masking.begin(order, result, update, self._leaving.policy, now)
        private = folder / "private.safetensors"
        if private.exists():
            write_atomic(self._site.private_weights, private.read_bytes())
        moments = folder / MOMENTS
        if moments.exists():
            self._site.keep_moments(order.plan.plan_id, moments.read_bytes())

    def _give_up(self, order: Order, result: Result, now: datetime) -> None:
        reason = result.refused
        match order:
            case IngestOrder():
                self._intake.give_up(order, result, now)
            case SnapshotOrder() | BaselineOrder():
                self._snapshots.give_up(order, result, now)
            case RoundOrder():
                self._rounds.give_up(order, reason, now)
            case ReleaseOrder():
                self._rollout.give_up(order, result, now)
            case ReferenceOrder():
                pass  # its job's row says why; predict goes on with the one before

    def _adopt_parts(self, folder: Path, parts: Path) -> None:
        for staged in sorted((folder / "parts").glob("*")):
            _adopt(staged, parts / staged.name)


def _adopt(staged: Path, final: Path) -> None:
    # Before the commit: content-addressed, so a kill in between leaves nothing wrong behind.
    if staged.exists():
        publish_folder(staged, final)
