"""The one place that knows the order of stages: letters, files, snapshot, rounds, releases.

`advance` may be called at any time and after any kill: each stage looks at the ledger, does what
is due, and commits before anything that depends on it.
"""

import logging
from datetime import datetime
from pathlib import Path

from agent import log
from agent.clock import from_text
from agent.errors import Refused
from agent.files import publish_folder, write_atomic
from agent.keeper.intake import Intake
from agent.keeper.jobs import Workers
from agent.keeper.mail import Mail
from agent.keeper.orders import (
    BaselineOrder,
    IngestOrder,
    Order,
    ReleaseOrder,
    Result,
    RoundOrder,
    Settings,
    SnapshotOrder,
)
from agent.keeper.rollout import Rollout
from agent.keeper.snapshots import Snapshots
from agent.keeper.training import Rounds
from agent.ledger.book import Item, Ledger
from agent.wire.documents import Endpoint, Plan
from agent.wire.trusted import Trusted

_log = logging.getLogger(__name__)


class Pipeline:
    """Joins the stages; each stage knows nothing of the others.

    Args:
        ledger: The keeper's memory.
        workers: Who does the heavy work.
        trusted: What is believed.
        mail, intake, snapshots, rounds, rollout: The stages.
        private: This silo's own endpoints.
        settings: What training may use of the host.
        private_weights: Where private heads rest between rounds.
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
        private: tuple[Endpoint, ...],
        settings: Settings,
        private_weights: Path,
    ) -> None:
        self._ledger = ledger
        self._workers = workers
        self._trusted = trusted
        self._mail = mail
        self._intake = intake
        self._snapshots = snapshots
        self._rounds = rounds
        self._rollout = rollout
        self._private = private
        self._settings = settings
        self._private_weights = private_weights

    def recover(self, now: datetime) -> None:
        """Once after a start: picks up what a kill left."""
        self._workers.recover(now)
        self._rounds.recover()

    def advance(self, now: datetime) -> None:
        """Does everything that is due, in order."""
        self._mail.take_all(now)
        for job, result in self._workers.ended(now):
            self._book(job, result, now)
        if self._trusted.catalogue is not None:
            self._intake.order(self._trusted.catalogue, self._private, now)
        plan = self._plan(now)
        if plan is not None and not self._intake.busy:
            self._advance_learning(plan, now)
        self._rounds.settle(now)
        self._rollout.start_trials(now)
        self._rollout.judge_trials(now)
        self._workers.start_next(now)

    def _plan(self, now: datetime) -> Plan | None:
        plans = []
        for item in self._ledger.find("plan", "accepted"):
            plan = self._trusted.plans[item.id][0] if item.id in self._trusted.plans else None
            if plan is not None and from_text(plan.expires) <= now:
                self._ledger.move(item, "expired", now, f"it expired at {plan.expires}")
            elif plan is not None:
                plans.append(plan)
        return plans[-1] if plans else None

    def _advance_learning(self, plan: Plan, now: datetime) -> None:
        self._snapshots.order(plan, now, self._settings.quorum, self._replicate_limits())
        ready = self._snapshots.ready(plan)
        self._rounds.order(ready, self._private, self._settings, self._private_weights, now)
        if ready is not None and self._trusted.catalogue is not None:
            self._snapshots.order_baseline(
                ready, plan, self._trusted.catalogue, self._private, self._settings, now
            )
        scored = self._snapshots.scored(plan)
        self._rollout.order(scored, self._private, self._settings, self._private_weights, now)

    def _replicate_limits(self) -> dict[str, float]:
        catalogue = self._trusted.catalogue
        shared = catalogue.endpoints if catalogue is not None else ()
        limits = {endpoint.id: endpoint.max_replicate_sd for endpoint in shared}
        limits |= {f"private:{own.id}": own.max_replicate_sd for own in self._private}
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
            case BaselineOrder():
                self._snapshots.book_baseline(order, result, now)
            case RoundOrder():
                self._rounds.seal(order, result, (folder / "update.safetensors").read_bytes(), now)
                private = folder / "private.safetensors"
                if private.exists():
                    write_atomic(self._private_weights, private.read_bytes())
            case ReleaseOrder():
                self._rollout.book(order, result, folder / "release", now)

    def _give_up(self, order: Order, result: Result, now: datetime) -> None:
        reason = result.refused
        match order:
            case IngestOrder():
                self._intake.give_up(order, result, now)
            case SnapshotOrder() | BaselineOrder():
                self._snapshots.give_up(order, reason, now)
            case RoundOrder():
                self._rounds.give_up(order, reason, now)
            case ReleaseOrder():
                self._rollout.give_up(order, reason, now)

    def _adopt_parts(self, folder: Path, parts: Path) -> None:
        for staged in sorted((folder / "parts").glob("*")):
            _adopt(staged, parts / staged.name)


def _adopt(staged: Path, final: Path) -> None:
    # Before the commit: content-addressed, so a kill in between leaves nothing wrong behind.
    if staged.exists():
        publish_folder(staged, final)
