"""A small, solvable problem; the features are made here, since learning knows no chemistry."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pytest

from agent.learning.checkpoint import Checkpoint
from agent.learning.moments import Moments
from agent.learning.tasks import Labels, TaskSpec
from agent.learning.train import Fitted, Settings, fit_on
from agent.wire.documents import FeatureSpec, NetworkSpec, Scaling
from agent.wire.network import Weights, initial_weights

N = 300


@dataclass(frozen=True, slots=True)
class Matrix:
    """Feature rows from dense matrices: the plainest thing that `Rows` allows."""

    counts: npt.NDArray[np.float32]
    dense: npt.NDArray[np.float32]

    @property
    def indptr(self) -> npt.NDArray[np.int64]:
        sizes = (self.counts != 0).sum(axis=1)
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])

    @property
    def indices(self) -> npt.NDArray[np.int32]:
        return np.nonzero(self.counts)[1].astype(np.int32)

    @property
    def values(self) -> npt.NDArray[np.float32]:
        return self.counts[np.nonzero(self.counts)]

    def __len__(self) -> int:
        return len(self.counts)

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        return type(self)(self.counts[rows], self.dense[rows])

    def columns(self, start: int, stop: int) -> Self:
        return type(self)(self.counts[:, start:stop], self.dense)


@dataclass(frozen=True, slots=True)
class Problem:
    """Features, the labels that follow from them, and the network to learn them."""

    features: Matrix
    spec: FeatureSpec
    network: NetworkSpec
    tasks: tuple[TaskSpec, ...]
    labels: Labels

    def start(self) -> Weights:
        return initial_weights(self.network, self.spec, [task.name for task in self.tasks])

    def fitted(
        self,
        settings: Settings,
        moments: Moments | None = None,
        validation: Labels | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> Fitted:
        return fit_on(
            self.start(),
            self.network,
            self.features,
            self.labels,
            self.tasks,
            settings,
            lambda *_: None,
            moments=moments,
            validation=validation,
            checkpoint=checkpoint,
        )


def equal(first: Weights, second: Weights) -> bool:
    """Tells whether two sets of tensors are the same to the last bit."""
    return all(np.array_equal(first[name], second[name]) for name in first | second)


def labels_of(matrix: npt.NDArray[np.float32]) -> Labels:
    """Labels from a matrix (n, tasks), NaN where nothing was measured."""
    rows, cols = np.nonzero(~np.isnan(matrix))
    return Labels(rows, cols, matrix[rows, cols], np.zeros(len(rows), np.int8))


@pytest.fixture
def problem() -> Problem:
    random = np.random.default_rng(3)
    counts = (random.random((N, 256)) < 0.03) * random.integers(1, 4, (N, 256))
    counts[5] = 0  # a row without any count must not shift its neighbours
    dense = random.normal(size=(N, 3))
    hidden = counts[:, :4].sum(axis=1) - 0.24 + 2 * dense[:, 0]
    # A wide and a narrow regression far from zero, and a class; each lacks some labels.
    targets = np.stack([200 + 30 * hidden, 2 - 0.1 * hidden, hidden > 0], axis=1)
    targets[random.random(targets.shape) < 0.2] = np.nan
    scalings = tuple(Scaling(name=name, centre=0.0, spread=1.0) for name in "abc")
    return Problem(
        Matrix(counts.astype(np.float32), dense.astype(np.float32)),
        FeatureSpec(
            version="onggi-fast-1", radius=2, hash_size=256, descriptors=scalings, clip=5.0
        ),
        NetworkSpec(hidden=(32, 16), dropout=0.1, seed=1),
        (
            TaskSpec("wide", "regression", 150.0, 100.0),
            TaskSpec("private:narrow.x", "regression", 3.0, 2.0, "uM"),
            TaskSpec("class", "classification"),
        ),
        labels_of(targets.astype(np.float32)),
    )
