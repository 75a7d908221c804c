"""Which curated files make up the training data now, and when to freeze them anew."""

import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from agent import log
from agent.clock import from_text
from agent.keeper.jobs import WORKER_DIED, Workers
from agent.keeper.local import OWNER, baseline_job, local_key
from agent.keeper.orders import BaselineOrder, PartOrder, Result, SnapshotOrder, TaskScore
from agent.keeper.passing import STOP, TRY_LATER
from agent.keeper.site import Site
from agent.keeper.training import Ready
from agent.ledger.book import Detail, Item, Ledger, Score
from agent.wire.documents import Catalogue, Plan

_log = logging.getLogger(__name__)
_PASSING = frozenset({WORKER_DIED, STOP, TRY_LATER})  # not the data's fault
_RETRY = timedelta(hours=1)
_DAY = timedelta(days=1)


class Snapshots:
    """Freezes the newest data once reading is quiet, and scores what this silo could do alone.

    Args:
        ledger: Where snapshots are rows.
        workers: Who joins, featurizes and trains.
        parts: Where curated files are.
        folder: Where snapshots are frozen.
        cache: The features' cache file.
        site: What this silo adds to an order.
        min_new_rows: With fewer new measurements the snapshot before goes on being used, for a
            day from the first of them at most.
    """

    def __init__(  # noqa: PLR0913 - each folder has a meaning of its own
        self,
        ledger: Ledger,
        workers: Workers,
        parts: Path,
        folder: Path,
        cache: Path,
        site: Site,
        min_new_rows: int = 1,
    ) -> None:
        self._ledger = ledger
        self._workers = workers
        self._parts = parts
        self._folder = folder
        self._cache = cache
        self._site = site
        self._min_new_rows = min_new_rows
        self._known: tuple[int, tuple[PartOrder, ...]] = (-1, ())
        self._counted: tuple[object, tuple[int, datetime | None]] = (None, (0, None))
        self._kept: dict[str, str] = {}  # snapshots that go on being used, by their meaning

    def order(
        self,
        plan: Plan,
        now: datetime,
        replicate_limits: Mapping[str, float] | None = None,
    ) -> None:
        """Orders the snapshot of the files as they are now, unless it exists.

        Args:
            plan: Whose folds and features it has.
            now: For the ledger.
            replicate_limits: The most that replicates may disagree by task, for the summary.
        """
        parts = self._current_parts()
        if not parts:
            return
        snapshot = _snapshot_id(parts, plan)
        if self._keeps(snapshot, plan, now):
            return
        known: Detail = {"parts": len(parts), "times": 1, "meaning": _meaning(plan)}
        times = self._want(snapshot, known, now)
        if not times:
            return
        order = SnapshotOrder(
            snapshot=snapshot,
            parts=parts,
            plan=plan,
            cache=str(self._cache),
            folder=str(self._folder / snapshot),
            previous=self._previous(),
            quorum=self._site.settings.quorum,
            replicate_limits=dict(replicate_limits or {}),
        )
        self._workers.submit(_job(snapshot, times), order, now)

    def _keeps(self, snapshot: str, plan: Plan, now: datetime) -> bool:
        """Tells whether too little is new, so that the snapshot before this one is used on."""
        meaning = _meaning(plan)
        self._kept.pop(meaning, None)
        if self._min_new_rows <= 1 or self._ledger.get("snapshot", snapshot) is not None:
            return False
        before = self._before(meaning)
        if before is None:
            return False
        # A file that changed counts with all of its rows: too many rather than too few.
        rows, first = self._new_since(before)
        waited = now - (first or now)
        # What was only withdrawn, without anything new, is not worth keeping for a day.
        if not 0 < rows < self._min_new_rows or waited >= _DAY:
            self._ledger.explain(before, "")
            return False
        self._kept[meaning] = before.id
        self._ledger.explain(
            before,
            f"{rows} new measurements wait for {self._min_new_rows - rows} more, or until a day "
            "has passed since the first.",
        )
        return True

    def _new_since(self, snapshot: Item) -> tuple[int, datetime | None]:
        """Returns how many measurements came since a snapshot, and when the first of them did."""
        mark = (self._ledger.revision, snapshot.id)
        if self._counted[0] != mark:
            files = [f for f in self._ledger.find("file", "ingested") if _is_after(f, snapshot)]
            rows = sum(int(str(file.detail.get("used", 0))) for file in files)
            first = min((from_text(file.changed) for file in files), default=None)
            self._counted = (mark, (rows, first))
        return self._counted[1]

    def _before(self, meaning: str) -> Item | None:
        for item in reversed(self._ledger.find("snapshot", "frozen", "scored")):
            if item.detail.get("meaning") == meaning:
                return item if (self._folder / item.id).exists() else None
        return None

    def _want(self, snapshot: str, known: Detail, now: datetime) -> int:
        """Returns how often the snapshot was wanted, if it must be frozen now; else 0."""
        if self._ledger.add("snapshot", snapshot, "wanted", now, known):
            return 1
        item = self._ledger.get("snapshot", snapshot)
        if item is None:
            return 0
        times = int(str(item.detail["times"]))
        if item.state == "wanted":  # without its job if the keeper was killed between the two rows
            return 0 if self._ledger.get("job", _job(snapshot, times)) else times
        why = self._why_again(item, now)
        if not why:
            return 0
        self._ledger.move(item, "wanted", now, why, {"times": times + 1})
        return times + 1

    def _previous(self) -> str:
        found = self._ledger.last_moved("snapshot", ("frozen", "scored"), 1)
        return str(self._folder / found[0].id) if found else ""

    def _why_again(self, item: Item, now: datetime) -> str:
        if item.state in {"frozen", "scored"} and not (self._folder / item.id).exists():
            # The files are again as they were long ago.
            return "it was cleared away"
        if item.state == "failed" and item.detail.get("code") in _PASSING:
            waited = now - from_text(item.changed)
            return "" if timedelta(0) <= waited < _RETRY else "it is tried again"
        return ""

    def ready(self, plan: Plan) -> Ready | None:
        """Returns the snapshot of the files as they are now if it is frozen."""
        return self._in_state(plan, "frozen", "scored")

    def scored(self, plan: Plan) -> Ready | None:
        """Returns it if this silo's own model under this plan was scored on it, or cannot be."""
        ready = self.ready(plan)
        return ready if ready is not None and self._is_scored(ready.snapshot, plan) else None

    def _is_scored(self, snapshot: str, plan: Plan) -> bool:
        job = self._ledger.get("job", baseline_job(snapshot, plan))
        return job is not None and job.state in {"finished", "failed"}

    def _in_state(self, plan: Plan, *states: str) -> Ready | None:
        kept = self._kept.get(_meaning(plan))
        item = self._ledger.get("snapshot", kept or _snapshot_id(self._current_parts(), plan))
        if item is None or item.state not in states:
            return None
        return Ready(item.id, self._folder / item.id)

    def order_baseline(self, ready: Ready, plan: Plan, catalogue: Catalogue, now: datetime) -> None:
        """Orders the local-only model of a frozen snapshot under a plan."""
        order = BaselineOrder(
            snapshot=ready.snapshot,
            folder=str(ready.folder),
            plan=plan,
            catalogue=catalogue,
            private=self._site.private,
            settings=self._site.settings,
        )
        self._workers.submit(baseline_job(ready.snapshot, plan), order, now)

    def book_frozen(self, order: SnapshotOrder, result: Result, now: datetime) -> None:
        """Books a frozen snapshot; call it in the job's transaction."""
        item = self._ledger.get("snapshot", order.snapshot)
        if item is not None and item.state == "wanted":
            labels: Detail = {**result.labels}
            detail: Detail = {"compounds": result.compounds, "labels": labels}
            detail |= {"changes": {**result.changes}}
            detail |= {"tasks": [task.model_dump() for task in result.tasks]}
            detail |= {"coverage": {t: part.model_dump() for t, part in result.coverage.items()}}
            self._ledger.move(item, "frozen", now, "", detail)
            log.event(_log, "snapshot frozen", compounds=result.compounds, **result.changes)
        if item is not None and self._is_scored(order.snapshot, order.plan):
            self._mark_scored(order.snapshot, now)  # it was scored before it was cleared away

    def book_baseline(self, order: BaselineOrder, result: Result, now: datetime) -> None:
        """Books the local-only scores; call it in the job's transaction."""
        key = local_key(order.snapshot, order.plan)
        self._ledger.put_scores(OWNER, key, _scores(result.scores))
        self._mark_scored(order.snapshot, now)

    def _mark_scored(self, snapshot: str, now: datetime) -> None:
        item = self._ledger.get("snapshot", snapshot)
        if item is not None and item.state == "frozen":
            self._ledger.move(item, "scored", now)

    def give_up(self, order: SnapshotOrder | BaselineOrder, result: Result, now: datetime) -> None:
        """Marks a snapshot that could not be frozen or scored; some failures pass."""
        item = self._ledger.get("snapshot", order.snapshot)
        if item is None or item.state not in {"wanted", "frozen"}:
            return
        # Without local scores there is nothing to compare with, but training can go on.
        state = "scored" if item.state == "frozen" else "failed"
        self._ledger.move(item, state, now, result.refused, {"code": result.refused_code})

    def _current_parts(self) -> tuple[PartOrder, ...]:
        if self._known[0] != self._ledger.revision:
            self._known = (self._ledger.revision, current_parts(self._ledger, self._parts))
        return self._known[1]


def current_parts(ledger: Ledger, folder: Path) -> tuple[PartOrder, ...]:
    """Returns the curated files that make up the data now.

    In the order of first reading; the same content under two names is one part.

    Args:
        ledger: Where files are rows.
        folder: Where curated files are.
    """
    parts: dict[str, PartOrder] = {}
    for item in sorted(ledger.find("file", "ingested"), key=_first_read):
        part, store = str(item.detail.get("part", "")), str(item.detail.get("store", ""))
        if part and part not in parts:
            parts[part] = PartOrder(store=store, folder=str(folder / part))
    return tuple(parts.values())


def _job(snapshot: str, times: int) -> str:
    return f"snapshot-{snapshot[:16]}-{times}"


def _first_read(file: Item) -> tuple[int, int]:
    # One that was read before places were kept comes first, by when it was found.
    return int(str(file.detail.get("first_read", 0))), file.number


def _snapshot_id(parts: tuple[PartOrder, ...], plan: Plan) -> str:
    # In the order in which they are joined: later rows replace earlier ones.
    text = "\n".join(part.folder for part in parts)
    text += f"\n{_meaning_of(plan)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _meaning_of(plan: Plan) -> str:
    return f"{plan.fold_key}\n{plan.features.model_dump_json()}"


def _meaning(plan: Plan) -> str:
    """Names what a plan wants of a snapshot: its folds and its features."""
    return hashlib.sha256(_meaning_of(plan).encode()).hexdigest()


def _is_after(file: Item, snapshot: Item) -> bool:
    return from_text(file.changed) > from_text(snapshot.created)


def _scores(scores: tuple[TaskScore, ...]) -> list[Score]:
    return [Score(s.task, s.metric, s.value, s.n_train, s.n_test) for s in scores]
