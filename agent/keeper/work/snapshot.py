"""Freezing the training data: labels and features in one folder that never changes."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from agent.assays.quorum import Quorum
from agent.assays.snapshot import Snapshot, build_snapshot
from agent.assays.summary import SnapshotSummary, summarize
from agent.errors import Refused
from agent.features.cache import FeatureCache
from agent.features.rows import Features, write_features
from agent.keeper.orders import Report, Result, SnapshotOrder, TaskStanding

_FEATURES = "features"
_OLD_FEATURES = "features.npz"  # as snapshots before it could be memory-mapped
_CHUNK = 10_000


def freeze(order: SnapshotOrder, folder: Path, report: Report) -> Result:
    """Joins the parts of the order and featurizes their compounds.

    Raises:
        Refused: `no_labels`, or `damaged_part`.
    """
    report("joining measurements", 0, len(order.parts))
    parts = [(part.store, Path(part.folder)) for part in order.parts]
    snapshot = build_snapshot(parts, order.plan.fold_key)
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
    write_features(folder / "snapshot" / _FEATURES, _featurize(cache, snapshot, report))
    labels = {
        task: int(np.sum(snapshot.cols == column)) for column, task in enumerate(snapshot.tasks)
    }
    return Result(
        compounds=len(snapshot.compounds),
        labels=labels,
        tasks=_standings(summary),
        changes=asdict(summary.changes),
    )


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
