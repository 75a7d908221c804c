"""Freezing the training data: labels and features in one folder that never changes."""

import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.assays.quorum import Quorum
from agent.assays.snapshot import Snapshot, build_snapshot
from agent.assays.summary import SnapshotSummary, summarize
from agent.errors import Refused
from agent.features.cache import FeatureCache
from agent.features.rows import Features
from agent.keeper.orders import Report, Result, SnapshotOrder, TaskStanding

_FEATURES = "features.npz"
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
    features = _featurize(cache, snapshot, report)
    snapshot.save(folder / "snapshot")
    summary.save(folder / "snapshot")
    _save_features(folder / "snapshot" / _FEATURES, features)
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


def _featurize(cache: FeatureCache, snapshot: Snapshot, report: Report) -> list[Features]:
    # In chunks, told one by one: a worker that says nothing for long passes for one that hangs.
    count = len(snapshot.compounds)
    chunks = []
    for start in range(0, count, _CHUNK):
        report("featurizing compounds", start, count)
        chunk = slice(start, start + _CHUNK)
        chunks.append(cache.get_or_compute(snapshot.compounds[chunk], snapshot.smiles[chunk]))
    return chunks


def _save_features(path: Path, chunks: Sequence[Features]) -> None:
    """Writes what `np.savez` would write of the joined chunks, which never are in memory twice."""
    lengths = np.concatenate([np.diff(chunk.indptr) for chunk in chunks])
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    with zipfile.ZipFile(path, "w") as archive:
        _write_array(archive, "indptr", [indptr])
        for name in ("indices", "values", "dense"):
            _write_array(archive, name, [getattr(chunk, name) for chunk in chunks])


def _write_array(
    archive: zipfile.ZipFile, name: str, pieces: Sequence[npt.NDArray[np.generic]]
) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(pieces[0].dtype),
        "fortran_order": False,
        "shape": (sum(map(len, pieces)), *pieces[0].shape[1:]),
    }
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for piece in pieces:
            member.write(piece.tobytes())


def load_features(folder: Path) -> Features:
    """Reads the features of a frozen snapshot, in the order of its compounds.

    Raises:
        Refused: `damaged_snapshot`.
    """
    try:
        with np.load(folder / _FEATURES, allow_pickle=False) as arrays:
            return Features(**{name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            "damaged_snapshot", f"The snapshot {folder.name} cannot be read; build it again."
        ) from error
