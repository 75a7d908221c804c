"""The peers' models: run in their own environment, imports nothing of this repository.

`python peer_models.py KIND FOLDER SEED` trains on the problem in the folder (see
`benchmarks.learning_peers`), writes what it says of the asked compounds to `said.npy`, float32
(n, tasks), and prints the seconds of featurizing and training on one core (Chemprop's with its
imports, since its commands are processes of their own). KIND is `lightgbm` (a model a task on this
program's own features), `ridge` or `forest` (scikit-learn on count fingerprints of
scikit-fingerprints), or `chemprop` (its defaults, 30 epochs, all tasks in one).
"""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Array = Any  # numpy's, whose types this file shares with packages that have none
_TREES = 100
_COLUMNS = 0.1  # of which a forest's split chooses
_BOOSTED = {
    "n_estimators": 300,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "colsample_bytree": 0.3,
    "subsample": 0.8,
    "subsample_freq": 1,
    "verbosity": -1,
    "max_bin": 63,
}


def lightgbm(folder: Path, seed: int) -> Array:
    """LightGBM, a model a task, on the same features and with the same weights of recency."""
    import lightgbm as lgb

    held = _problem(folder)
    known, asked = (_matrix(held, name) for name in ("known", "asked"))
    return _each_task(
        held,
        known,
        asked,
        lambda: lgb.LGBMRegressor(**_BOOSTED, random_state=seed, n_jobs=1),
    )


def ridge(folder: Path, seed: int) -> Array:
    """Ridge regression on logarithms of count fingerprints; the penalty by cross-validation."""
    from sklearn.linear_model import RidgeCV  # type: ignore[import-not-found]

    del seed  # nothing is drawn
    known, asked = _fingerprints(folder)
    penalties = np.logspace(0, 4, 9)
    return _each_task(_problem(folder), known, asked, lambda: RidgeCV(penalties))


def forest(folder: Path, seed: int) -> Array:
    """A random forest on the same fingerprints."""
    from sklearn.ensemble import RandomForestRegressor  # type: ignore[import-not-found]

    known, asked = _fingerprints(folder)
    settings = {"n_estimators": _TREES, "max_features": _COLUMNS, "random_state": seed}
    return _each_task(
        _problem(folder), known, asked, lambda: RandomForestRegressor(**settings, n_jobs=1)
    )


def chemprop(folder: Path, seed: int) -> Array:
    """Chemprop's own commands, with a tenth of the compounds to stop by."""
    held = _problem(folder)
    names = [f"t{column}" for column in range(int(held["tasks"]))]
    known, asked = (_smiles(folder, name) for name in ("known", "asked"))
    _write(folder / "known.csv", names, known, _table(held, len(known)))
    _write(folder / "asked.csv", [], asked, np.zeros((len(asked), 0)))
    program, out = str(Path(sys.executable).parent / "chemprop"), str(folder / "chemprop")
    learn = [program, "train", "--data-path", str(folder / "known.csv"), "--output-dir", out]
    learn += ["--smiles-columns", "smiles", "--target-columns", *names, "--epochs", "30"]
    learn += ["--task-type", "regression", "--split-sizes", "0.9", "0.1", "0.0"]
    learn += ["--data-seed", str(seed), "--pytorch-seed", str(seed), "--accelerator", "cpu"]
    _call(learn)
    said = folder / "said.csv"
    ask = [program, "predict", "--test-path", str(folder / "asked.csv"), "--preds-path", str(said)]
    _call([*ask, "--smiles-columns", "smiles", "--model-paths", out, "--accelerator", "cpu"])
    with said.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    found = list(rows[0])[1 : 1 + len(names)] if names[0] not in rows[0] else names
    return np.array([[float(row[name]) for name in found] for row in rows], np.float32)


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _problem(folder: Path) -> dict[str, Array]:
    with np.load(folder / "problem.npz", allow_pickle=False) as stored:
        return dict(stored)


def _smiles(folder: Path, name: str) -> list[str]:
    return (folder / f"{name}.smi").read_text(encoding="utf-8").split("\n")


def _matrix(held: dict[str, Array], name: str) -> Array:
    indptr, dense = held[f"{name}_indptr"], held[f"{name}_dense"]
    matrix = np.zeros((len(dense), int(held["columns"])), np.float32)
    rows = np.repeat(np.arange(len(dense)), np.diff(indptr))
    matrix[rows, held[f"{name}_indices"]] = held[f"{name}_values"]
    return np.hstack([matrix, dense])


def _fingerprints(folder: Path) -> Iterator[Array]:
    from skfp.fingerprints import ECFPFingerprint  # type: ignore[import-not-found]

    maker = ECFPFingerprint(fp_size=2048, radius=2, count=True, n_jobs=1)
    return (
        np.log1p(maker.transform(_smiles(folder, name)).astype(np.float32))
        for name in ("known", "asked")
    )


def _each_task(held: dict[str, Array], known: Array, asked: Array, new: Callable[[], Any]) -> Array:
    said = np.zeros((len(asked), int(held["tasks"])), np.float32)
    for column in range(said.shape[1]):
        own = held["cols"] == column
        rows, values = held["rows"][own], held["values"][own]
        said[:, column] = new().fit(known[rows], values, held["weights"][own]).predict(asked)
    return said


def _table(held: dict[str, Array], rows: int) -> Array:
    table = np.full((rows, int(held["tasks"])), np.nan)
    table[held["rows"], held["cols"]] = held["values"]
    return table


def _write(path: Path, names: list[str], smiles: list[str], table: Array) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["smiles", *names])
        for text, values in zip(smiles, table, strict=True):
            writer.writerow([text, *("" if np.isnan(value) else value for value in values)])


WORK: dict[str, Callable[[Path, int], Array]] = {
    "lightgbm": lightgbm,
    "ridge": ridge,
    "forest": forest,
    "chemprop": chemprop,
}

_FINGERPRINTS = ("skfp.fingerprints", "sklearn.linear_model", "sklearn.ensemble")
_IMPORTS = {"lightgbm": ("lightgbm",), "ridge": _FINGERPRINTS, "forest": _FINGERPRINTS}


def main() -> None:
    """Writes what the peer says, and prints the seconds."""
    kind, folder, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    for name in _IMPORTS.get(kind, ()):
        __import__(name)  # which happens once, and is not counted
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    started_s = time.perf_counter()
    said = WORK[kind](folder, seed)
    taken_s = time.perf_counter() - started_s
    np.save(folder / "said.npy", said)
    print(taken_s)


if __name__ == "__main__":
    main()
