"""Where a training stands, in one file, so that a kill at any moment costs seconds."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from agent.clock import monotonic_s
from agent.errors import Refused
from agent.files import write_atomic
from agent.learning.moments import Moments
from agent.learning.settings import Settings
from agent.learning.tasks import Labels, Rows, TaskSpec
from agent.wire.documents import NetworkSpec
from agent.wire.network import Weights

_FILE = "training.safetensors"
_WEIGHT, _BEST = "weight/", "best/"
_EVERY_S = 10.0  # an epoch of a small silo takes 0.1 s, and a save 0.1 s of the disk's


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The best weights so far, by the loss on the validation labels.

    Attributes:
        loss: What they came to.
        weights: They themselves.
        waited: Epochs since.
    """

    loss: float
    weights: Weights
    waited: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where a training stands, between two steps.

    Neither the order of the rows nor the state of a random generator is in it: both follow from
    the seed, the epoch and the step (`agent.learning.schedule`).

    Attributes:
        epoch: Counted from 0.
        step: Steps done in it.
        loss: Sum of the losses of those.
        weights, moments: After them.
        best: With validation labels only.
    """

    epoch: int
    step: int
    loss: float
    weights: Weights
    moments: Moments
    best: Best | None = None


@dataclass(slots=True)
class Checkpoint:
    """A folder that keeps the standing of one training.

    Attributes:
        folder: Made if need be; give each training its own.
        every_s: Training time between two saves; 0 saves after every step.
        clock: Seconds that never step back.
    """

    folder: Path
    every_s: float = _EVERY_S
    clock: Callable[[], float] = monotonic_s
    _saved_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Starts the time to the first save."""
        self._saved_s = self.clock()

    def is_due(self) -> bool:
        """Says whether it is time to save again."""
        return self.clock() - self._saved_s >= self.every_s

    def save(self, standing: Standing, bound_to: str) -> None:
        """Writes the standing: all of it or nothing.

        Raises:
            OSError: The disk is full.
        """
        best = standing.best
        said = {"epoch": standing.epoch, "step": standing.step, "loss": standing.loss}
        tensors = {_WEIGHT + name: tensor for name, tensor in standing.weights.items()}
        tensors |= standing.moments.to_tensors()
        if best is not None:
            said |= {"best_loss": best.loss, "waited": best.waited}
            tensors |= {_BEST + name: tensor for name, tensor in best.weights.items()}
        content = save(tensors, {"bound_to": bound_to, "standing": json.dumps(said)})
        self.folder.mkdir(parents=True, exist_ok=True)
        for half in self.folder.glob(f".{_FILE}.*.tmp"):  # of a process that was killed
            half.unlink(missing_ok=True)
        write_atomic(self.folder / _FILE, content)
        self._saved_s = self.clock()

    def load(self, bound_to: str) -> Standing | None:
        """Reads the standing; one of another training, or a damaged one, is as good as none."""
        path = self.folder / _FILE
        try:
            with safe_open(path, "numpy") as handle:
                said = handle.metadata() or {}
            if said.get("bound_to") != bound_to:
                return None
            return _standing(json.loads(said["standing"]), load_file(path))
        except (OSError, SafetensorError, ValueError, KeyError, Refused):
            return None


def _standing(said: dict[str, float], tensors: Weights) -> Standing:
    weights = _under(_WEIGHT, tensors)
    best = None
    if "best_loss" in said:
        best = Best(said["best_loss"], _under(_BEST, tensors), int(said["waited"]))
    moments = Moments.from_tensors(tensors, weights)
    epoch, step = int(said["epoch"]), int(said["step"])
    return Standing(epoch, step, said["loss"], weights, moments, best)


def _under(prefix: str, tensors: Weights) -> Weights:
    cut = len(prefix)
    return {name[cut:]: value for name, value in tensors.items() if name.startswith(prefix)}


def fingerprint(  # noqa: PLR0913  (everything that decides how a training goes)
    weights: Weights,
    network: NetworkSpec,
    features: Rows,
    labels: Sequence[Labels | None],
    tasks: Sequence[TaskSpec],
    settings: Settings,
    moments: Moments | None,
) -> str:
    """Returns what a standing is bound to, so that a stale one is never gone on from.

    Of the features only the shape and the first rows are in it: a snapshot never changes.
    """
    digest = hashlib.sha256(torch.__version__.encode())
    said = [network.model_dump_json(), asdict(settings), [asdict(task) for task in tasks]]
    digest.update(json.dumps(said, sort_keys=True).encode())
    kept = {} if moments is None else moments.to_tensors()
    for name, tensor in sorted({**weights, **kept}.items()):
        _add(digest, name, tensor)
    for part in labels:
        for name in ("rows", "cols", "values", "qualifiers", "importance"):
            _add(digest, name, getattr(part, name, None))
    _add(digest, "indptr", features.indptr)
    _add(digest, "dense", np.asarray(features.dense[:1]))
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", name: str, array: npt.NDArray[np.generic] | None) -> None:
    if array is not None:
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
