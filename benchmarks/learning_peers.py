"""Peers that learn from the same compounds: handing them the problem, and reading what they say."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.features.spec import default_spec
from agent.features.views import default_views
from agent.keeper.evaluation.gather import Gathered
from agent.learning.tasks import seen
from benchmarks import peers
from benchmarks.models import Exam

_WORK = Path(__file__).parent / "peer_models.py"
_CLASSIC = ("lightgbm", "scikit-fingerprints", "scikit-learn")
_CHEMPROP = ("chemprop", "torch==2.13.0")
NAMES = {
    "lightgbm": "LightGBM, a model a task, same features",
    "ridge": "scikit-fingerprints + scikit-learn's ridge",
    "forest": "scikit-fingerprints + scikit-learn's forest",
    "chemprop": "Chemprop, defaults, 30 epochs",
}


@dataclass(frozen=True, slots=True, eq=False)
class PeerRun:
    """What a peer said of the exam's compounds, and the seconds that it took on one core."""

    said: npt.NDArray[np.float32]
    seconds: float


def python_for(kind: str, folder: Path) -> Path:
    """Makes the environment of a peer: Chemprop, which brings torch, has one of its own.

    Raises:
        NoPeers: Its packages cannot be installed.
    """
    if kind == "chemprop":
        return peers.make(folder / "chemprop", _CHEMPROP, "import chemprop, torch")
    return peers.make(folder / "classic", _CLASSIC, "import lightgbm, sklearn, skfp")


def write_problem(
    folder: Path,
    own: Gathered,
    exam: Exam,
    smiles: tuple[Sequence[str], Sequence[str]],
    rate: float,
) -> None:
    """Writes what a peer learns from and is asked.

    Args:
        folder: Emptied first.
        own: Features and labels.
        exam: What is asked.
        smiles: Of the rows of both.
        rate: Of recency, as `agent.learning.recency`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    wide = default_views().wide
    given = [seen(rows, wide) for rows in (own.silo.features, exam.features)]
    for name, rows, texts in zip(("known", "asked"), given, smiles, strict=True):
        for part in ("indptr", "indices", "values", "dense"):
            arrays[f"{name}_{part}"] = getattr(rows, part)
        (folder / f"{name}.smi").write_text("\n".join(texts), encoding="utf-8")
    labels = own.silo.weighted(rate)
    arrays |= {"rows": labels.rows, "cols": labels.cols, "values": labels.values}
    weights = labels.importance
    arrays["weights"] = np.ones(len(labels), np.float32) if weights is None else weights
    arrays["tasks"] = np.array(len(exam.tasks))
    arrays["columns"] = np.array(default_spec().hash_size)
    np.savez(folder / "problem.npz", allow_pickle=False, **arrays)


def run(python: Path, kind: str, folder: Path, seed: int) -> PeerRun:
    """Lets a peer train on the problem in the folder.

    Raises:
        NoPeers: It failed.
    """
    seconds = peers.seconds(python, kind, folder, seed, _WORK)
    return PeerRun(np.load(folder / "said.npy", allow_pickle=False), seconds)
