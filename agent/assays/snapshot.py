"""The frozen input of one training job: compounds, tasks and labels as plain arrays."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.files import publish_folder

_ARRAYS = "labels.npz"
_INDEX = "index.json"
_TEXTS = ("compounds", "smiles", "tasks", "kinds")
_DTYPES = {
    "rows": "<i4",
    "cols": "<i4",
    "values": "<f4",
    "qualifiers": "|i1",
    "dates": "<U10",
    "counts": "<i4",
    "spreads": "<f4",
    "folds": "<i4",
}

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Labels in coordinate form; loading one needs numpy alone.

    Attributes:
        compounds: Keys of the compounds, sorted; row numbers count in them. Shape (n,).
        smiles: Their standardized parents, in the same order.
        tasks: Names, sorted; column numbers count in them.
        kinds: `regression` or `classification`, by task.
        rows, cols: int32, shape (m,): compound and task of each label.
        values: float32, shape (m,): median of the replicates, on the modelled scale.
        qualifiers: int8, shape (m,): -1 for "<", 0 for "=", +1 for ">".
        dates: ISO date of the latest replicate or an empty text, shape (m,).
        counts: int32, shape (m,): how many replicates.
        spreads: float32, shape (m,): their standard deviation, 0 for one.
        folds: int32, shape (n,): fold of each compound.
        conflicts: Labels left out because the replicates name both classes, or "<" and ">",
            equally often.
    """

    compounds: tuple[str, ...]
    smiles: tuple[str, ...]
    tasks: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: Array
    cols: Array
    values: Array
    qualifiers: Array
    dates: Array
    counts: Array
    spreads: Array
    folds: Array
    conflicts: int = 0

    @property
    def id(self) -> str:
        """SHA-256 of the content, in hexadecimal: equal data, equal id."""
        digest = hashlib.sha256(self._index())
        for name, array in self._arrays().items():
            digest.update(name.encode() + len(array).to_bytes(8, "big") + array.tobytes())
        return digest.hexdigest()

    def _index(self) -> bytes:
        index = {name: getattr(self, name) for name in (*_TEXTS, "conflicts")}
        return json.dumps(index, sort_keys=True, ensure_ascii=False).encode()

    def _arrays(self) -> dict[str, Array]:
        return {
            name: getattr(self, name).astype(kind, copy=False) for name, kind in _DTYPES.items()
        }

    def save(self, folder: Path) -> None:
        """Writes the snapshot as a folder; one that is already there is kept.

        Raises:
            OSError: The disk is full or not writable; nothing appears at `folder`.
        """
        staged = folder.with_name(f".{folder.name}.tmp")
        staged.mkdir(exist_ok=True)
        with (staged / _ARRAYS).open("wb") as handle:
            np.savez(handle, allow_pickle=False, **self._arrays())
        (staged / _INDEX).write_bytes(self._index())
        publish_folder(staged, folder)

    @staticmethod
    def load_values(folder: Path) -> tuple[Array, Array]:
        """Reads `cols` and `values` of what `save` wrote: all of it weighs ten times as much.

        Raises:
            Refused: As `load`.
        """
        try:
            with np.load(folder / _ARRAYS, allow_pickle=False) as stored:
                return stored["cols"], stored["values"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise _damaged(folder) from error

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            Refused: `damaged_snapshot`: files are missing or do not fit each other.
        """
        try:
            index = json.loads((folder / _INDEX).read_bytes())
            with np.load(folder / _ARRAYS, allow_pickle=False) as stored:
                content: dict[str, Any] = {name: stored[name] for name in _DTYPES}
            content.update({name: tuple(index[name]) for name in _TEXTS})
            return cls(**content, conflicts=index["conflicts"])
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise _damaged(folder) from error


def _damaged(folder: Path) -> Refused:
    reason = f"The snapshot {folder.name} cannot be read; build it again."
    return Refused("damaged_snapshot", reason)


def build_snapshot(parts: Sequence[tuple[str, Path]], fold_key: str, folds: int = 5) -> Snapshot:
    """Joins parts into one snapshot.

    A later row with the same store and measurement id replaces or withdraws the earlier one
    (`merge.fates`). Replicates of a compound in a task become their median on the modelled scale
    with their most common qualifier (`merge.labels`).

    Args:
        parts: Store name and folder of each part, oldest first.
        fold_key: The plan's, 32 bytes in hexadecimal.
        folds: How many folds.

    Raises:
        Refused: `damaged_part`.
    """
    # Polars weighs 100 MB: whoever only loads a snapshot does without it.
    from agent.assays import merge

    return Snapshot(**merge.merged(parts, fold_key, folds))
