"""Which curated files make up the training data now, and when to freeze them anew."""

import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from agent import log
from agent.keeper.jobs import Workers
from agent.keeper.orders import (
    BaselineOrder,
    PartOrder,
    QuorumRule,
    Result,
    Settings,
    SnapshotOrder,
    TaskScore,
)
from agent.keeper.rollout import LOCAL
from agent.keeper.training import Ready
from agent.ledger.book import Detail, Ledger, Score
from agent.wire.documents import Catalogue, Endpoint, Plan

_log = logging.getLogger(__name__)


class Snapshots:
    """Freezes the newest data once reading is quiet, and scores what this silo could do alone.

    Args:
        ledger: Where snapshots are rows.
        workers: Who joins, featurizes and trains.
        parts: Where curated files are.
        folder: Where snapshots are frozen.
        cache: The features' cache file.
    """

    def __init__(
        self, ledger: Ledger, workers: Workers, parts: Path, folder: Path, cache: Path
    ) -> None:
        self._ledger = ledger
        self._workers = workers
        self._parts = parts
        self._folder = folder
        self._cache = cache
        self._known: tuple[int, tuple[PartOrder, ...]] = (-1, ())

    def order(
        self,
        plan: Plan,
        now: datetime,
        quorum: QuorumRule | None = None,
        replicate_limits: Mapping[str, float] | None = None,
    ) -> None:
        """Orders the snapshot of the files as they are now, unless it exists.

        Args:
            plan: Whose folds and features it has.
            now: For the ledger.
            quorum: What a task needs, for the snapshot's summary.
            replicate_limits: The most that replicates may disagree by task, for the same.
        """
        parts = self._current_parts()
        if not parts:
            return
        snapshot = _snapshot_id(parts, plan)
        times = self._want(snapshot, len(parts), now)
        if not times:
            return
        order = SnapshotOrder(
            snapshot=snapshot,
            parts=parts,
            plan=plan,
            cache=str(self._cache),
            folder=str(self._folder / snapshot),
            previous=self._previous(),
            quorum=quorum or QuorumRule(),
            replicate_limits=dict(replicate_limits or {}),
        )
        self._workers.submit(f"snapshot-{snapshot[:16]}-{times}", order, now)

    def _want(self, snapshot: str, parts: int, now: datetime) -> int:
        """Returns how often the snapshot was wanted, if it must be frozen now; else 0."""
        if self._ledger.add("snapshot", snapshot, "wanted", now, {"parts": parts, "times": 1}):
            return 1
        item = self._ledger.get("snapshot", snapshot)
        if item is None or item.state not in {"frozen", "scored"}:
            return 0
        if (self._folder / snapshot).exists():
            return 0
        # The files are again as they were long ago, and that snapshot was cleared away.
        times = int(str(item.detail["times"])) + 1
        self._ledger.move(item, "wanted", now, "it was cleared away", {"times": times})
        return times

    def _previous(self) -> str:
        found = self._ledger.newest("snapshot", ("frozen", "scored"), 1)
        return str(self._folder / found[0].id) if found else ""

    def ready(self, plan: Plan) -> Ready | None:
        """Returns the snapshot of the files as they are now if it is frozen."""
        return self._in_state(plan, "frozen", "scored")

    def scored(self, plan: Plan) -> Ready | None:
        """Returns it if this silo's own model has been scored on it, too."""
        return self._in_state(plan, "scored")

    def _in_state(self, plan: Plan, *states: str) -> Ready | None:
        item = self._ledger.get("snapshot", _snapshot_id(self._current_parts(), plan))
        if item is None or item.state not in states:
            return None
        return Ready(item.id, self._folder / item.id)

    def order_baseline(
        self,
        ready: Ready,
        plan: Plan,
        catalogue: Catalogue,
        private: tuple[Endpoint, ...],
        settings: Settings,
        now: datetime,
    ) -> None:
        """Orders the local-only model of a frozen snapshot."""
        order = BaselineOrder(
            snapshot=ready.snapshot,
            folder=str(ready.folder),
            plan=plan,
            catalogue=catalogue,
            private=private,
            settings=settings,
        )
        self._workers.submit(f"baseline-{ready.snapshot[:16]}", order, now)

    def book_frozen(self, order: SnapshotOrder, result: Result, now: datetime) -> None:
        """Books a frozen snapshot; call it in the job's transaction."""
        item = self._ledger.get("snapshot", order.snapshot)
        if item is not None and item.state == "wanted":
            labels: Detail = {**result.labels}
            detail: Detail = {"compounds": result.compounds, "labels": labels}
            detail |= {"changes": {**result.changes}}
            detail |= {"tasks": [task.model_dump() for task in result.tasks]}
            self._ledger.move(item, "frozen", now, "", detail)
            log.event(_log, "snapshot frozen", compounds=result.compounds, **result.changes)
        if item is not None and self._ledger.scores(LOCAL, order.snapshot):
            self._mark_scored(order.snapshot, now)  # it was scored before it was cleared away

    def book_baseline(self, order: BaselineOrder, result: Result, now: datetime) -> None:
        """Books the local-only scores; call it in the job's transaction."""
        self._ledger.put_scores(LOCAL, order.snapshot, _scores(result.scores))
        self._mark_scored(order.snapshot, now)

    def _mark_scored(self, snapshot: str, now: datetime) -> None:
        item = self._ledger.get("snapshot", snapshot)
        if item is not None and item.state == "frozen":
            self._ledger.move(item, "scored", now)

    def give_up(self, order: SnapshotOrder | BaselineOrder, reason: str, now: datetime) -> None:
        """Marks a snapshot that could not be frozen or scored."""
        item = self._ledger.get("snapshot", order.snapshot)
        if item is None or item.state not in {"wanted", "frozen"}:
            return
        # Without local scores there is nothing to compare with, but training can go on.
        state = "scored" if item.state == "frozen" else "failed"
        self._ledger.move(item, state, now, reason)

    def _current_parts(self) -> tuple[PartOrder, ...]:
        if self._known[0] != self._ledger.revision:
            self._known = (self._ledger.revision, current_parts(self._ledger, self._parts))
        return self._known[1]


def current_parts(ledger: Ledger, folder: Path) -> tuple[PartOrder, ...]:
    """Returns the curated files that make up the data now, in the order of reading.

    The same content under two names is one part.

    Args:
        ledger: Where files are rows.
        folder: Where curated files are.
    """
    parts: dict[str, PartOrder] = {}
    for item in sorted(ledger.find("file", "ingested"), key=lambda file: file.changed):
        part, store = str(item.detail.get("part", "")), str(item.detail.get("store", ""))
        if part and part not in parts:
            parts[part] = PartOrder(store=store, folder=str(folder / part))
    return tuple(parts.values())


def _snapshot_id(parts: tuple[PartOrder, ...], plan: Plan) -> str:
    text = "\n".join(sorted(part.folder for part in parts))
    text += f"\n{plan.fold_key}\n{plan.features.model_dump_json()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _scores(scores: tuple[TaskScore, ...]) -> list[Score]:
    return [Score(s.task, s.metric, s.value, s.n_train, s.n_test) for s in scores]
