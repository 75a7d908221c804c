"""Freezing the training data: labels and features in one folder that never changes."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from agent.assays.growth import Grown, grow
from agent.assays.quorum import Quorum
from agent.assays.snapshot import Snapshot, build_snapshot
from agent.assays.summary import SnapshotSummary, summarize
from agent.errors import Refused
from agent.features.cache import FeatureCache, origin
from agent.features.rows import Features, write_features
from agent.files import sha256_bytes
from agent.keeper.orders import Coverage, Report, Result, SnapshotOrder, TaskStanding

_FEATURES = "features"
_BASIS = "basis.json"
_OLD_FEATURES = "features.npz"  # as snapshots before it could be memory-mapped
_CHUNK = 10_000


def freeze(order: SnapshotOrder, folder: Path, report: Report) -> Result:
    """Joins the parts of the order and featurizes their compounds.

    Raises:
        Refused: `no_labels`, or `damaged_part`.
    """
    report("joining measurements", 0, len(order.parts))
    parts = [(part.store, Path(part.folder)) for part in order.parts]
    basis = _basis(order)
    grown, before = _grown(order, parts, basis) or (None, None)
    snapshot = grown.snapshot if grown else build_snapshot(parts, order.plan.fold_key)
    if not snapshot.compounds:
        raise Refused("no_labels", "No measurement could be used; see `onggi ingest --report`.")
    summary = summarize(
        snapshot,
        parts,
        Quorum(**order.quorum.model_dump()),
        order.replicate_limits,
        Path(order.previous) if order.previous else None,
    )
    # After the summary, which needs room, too; on every core: nothing else runs meanwhile.
    cache = FeatureCache(Path(order.cache), order.plan.features, processes=0)
    snapshot.save(folder / "snapshot")
    summary.save(folder / "snapshot")
    (folder / "snapshot" / _FEATURES).mkdir(exist_ok=True)
    features = _featurize(cache, snapshot, report)
    if grown and before:
        features = _added(cache, grown, before)
    write_features(folder / "snapshot" / _FEATURES, features)
    (folder / "snapshot" / _BASIS).write_text(json.dumps(basis), encoding="utf-8")
    labels = {
        task: int(np.sum(snapshot.cols == column)) for column, task in enumerate(snapshot.tasks)
    }
    return Result(
        compounds=len(snapshot.compounds),
        labels=labels,
        tasks=_standings(summary),
        changes=asdict(summary.changes),
        coverage=_coverage(snapshot),
    )


def _basis(order: SnapshotOrder) -> dict[str, str]:
    """Names what a snapshot's folds and features depend on besides its parts."""
    plan = order.plan
    return {
        "folds": sha256_bytes(plan.fold_key.encode()),
        "features": origin(plan.features),
    }


def _grown(
    order: SnapshotOrder, parts: Sequence[tuple[str, Path]], basis: dict[str, str]
) -> tuple[Grown, Features] | None:
    """Makes the labels from the last snapshot, where that comes to the same.

    Returns:
        It, and the features of the last one, which are mapped now: the folder may be cleared away.
    """
    previous = Path(order.previous)
    try:
        if not order.previous or json.loads((previous / _BASIS).read_bytes()) != basis:
            return None
        old = [(store, Path(part)) for store, part in SnapshotSummary.load(previous).parts]
        before, features = Snapshot.load(previous), load_features(previous)
        whole = len(features) == len(before.compounds)
        grown = grow(before, old, parts, order.plan.fold_key) if whole else None
    except (OSError, ValueError, Refused):
        return None  # it was cleared away, or is damaged or of a version before
    return (grown, features) if grown else None


def _added(cache: FeatureCache, grown: Grown, before: Features) -> Iterator[Features]:
    """Yields the features of a grown snapshot: runs of rows that the last one has, and new ones."""
    compounds, smiles, places = grown.snapshot.compounds, grown.snapshot.smiles, grown.places
    # A run ends where the next row is not the one after it in the last snapshot, or is a new one.
    breaks = np.flatnonzero((np.diff(places) != 1) | (places[:-1] < 0)) + 1
    for start, end in pairwise([0, *breaks.tolist(), len(places)]):
        if places[start] >= 0:
            yield before.slice(int(places[start]), int(places[start]) + end - start)
        else:
            yield cache.get_or_compute(compounds[start:end], smiles[start:end])


def _standings(summary: SnapshotSummary) -> tuple[TaskStanding, ...]:
    return tuple(
        TaskStanding(
            task=name,
            n=task.n,
            censored=task.censored,
            met=task.met,
            waits=task.waits,
            noisy=task.noisy,
            drifted=task.drifted,
        )
        for name, task in summary.tasks.items()
    )


def _coverage(snapshot: Snapshot) -> dict[str, Coverage]:
    found = {}
    for column, task in enumerate(snapshot.tasks):
        own = snapshot.cols == column
        dates = snapshot.dates[own]
        years, counts = np.unique(dates[dates != ""].astype("<U4"), return_counts=True)
        found[task] = Coverage(
            compounds=int(own.sum()),
            measurements=int(snapshot.counts[own].sum()),
            newest=str(max(dates.tolist(), default="")) or None,
            by_year=dict(zip(years.tolist(), counts.tolist(), strict=True)),
        )
    return found


def _featurize(cache: FeatureCache, snapshot: Snapshot, report: Report) -> Iterator[Features]:
    # In chunks, told one by one: a worker that says nothing for long passes for one that hangs.
    count = len(snapshot.compounds)
    for start in range(0, count, _CHUNK):
        report("featurizing compounds", start, count)
        chunk = slice(start, start + _CHUNK)
        yield cache.get_or_compute(snapshot.compounds[chunk], snapshot.smiles[chunk])


def load_features(folder: Path) -> Features:
    """Returns the features of a frozen snapshot, in the order of its compounds, memory-mapped.

    Raises:
        Refused: `damaged_snapshot`.
    """
    try:
        if not (folder / _OLD_FEATURES).exists():
            return Features.load(folder / _FEATURES)
        with np.load(folder / _OLD_FEATURES, allow_pickle=False) as arrays:
            return Features(**{name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            "damaged_snapshot", f"The snapshot {folder.name} cannot be read; build it again."
        ) from error
