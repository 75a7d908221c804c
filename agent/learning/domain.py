"""Where a model knows what it says: limits drawn from the curve of its errors, task by task.

A compound is inside where it resembles what the task was trained on, and the members agree, at
least as much as those whose error stayed below a multiple of the usual one. Errors grow smoothly
with distance (Sheridan et al. 2004, J. Chem. Inf. Comput. Sci. 44, 1912), so the curve is made
monotone before a limit is read from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from agent.learning import metrics
from agent.learning.intervals import Calibration, Predicted, covered, intervals
from agent.learning.tasks import Labels, TaskSpec
from agent.wire.document import Document

WORST = 2.0  # the mean error of a bin inside, in medians of all errors; 1.25 for Gaussian errors
FEWEST = 40  # labels that a limit of a task's own is drawn from
_SEEN = 0.1  # beyond this share of what was measured, at the far end, nothing is known
_BIN = 20  # labels at least
_MOST_BINS = 8
_UNMEASURED = 0.4  # of similarity, where nothing was measured: what a chemist calls a neighbour

Floats = npt.NDArray[np.float64]
Share = Annotated[float, Field(ge=0, le=1)]
Measure = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Bin(Document):
    """The calibration window's labels between two similarities.

    Attributes:
        low, high: Similarity to the nearest trained compound.
        n: Labels.
        error: Mean absolute residual on the transformed scale; of the probability for a class.
        width: Mean width of the 90 % intervals; None where there are none.
        coverage: The share of the exact labels within them.
    """

    low: Share
    high: Share
    n: Annotated[int, Field(ge=1)]
    error: Measure
    width: Measure | None
    coverage: Share | None


class TaskDomain(Document):
    """The limits of one task.

    Attributes:
        similarity: Inside from here on.
        spread: Inside up to here; None where members do not tell.
        pooled: The labels were too few for limits of its own: all tasks' together are used.
        curve: By similarity, from far to near.
    """

    task: str
    similarity: Share
    spread: Measure | None
    pooled: bool
    curve: tuple[Bin, ...]


class Domain(Document):
    """The limits of every task, in the order of the model's columns."""

    version: Literal[1] = 1
    tasks: tuple[TaskDomain, ...]


def draw_domain(
    answer: Predicted,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    similarity: npt.NDArray[np.float32],
    calibration: Calibration,
) -> Domain:
    """Draws the limits from labels that the model has not seen.

    Args:
        answer: What the model says of n compounds.
        labels: Their measured values.
        tasks: The columns.
        similarity: float32 (n, tasks).
        calibration: For the widths of the curve.
    """
    low, high = intervals(answer, calibration, similarity=similarity)
    columns = [_Column(answer, labels, similarity, j, tasks[j]) for j in range(len(tasks))]
    everything = _limits(
        *(np.concatenate([getattr(c, name) for c in columns]) for name in _Column.pooled)
    )
    found = []
    for j, (task, column) in enumerate(zip(tasks, columns, strict=True)):
        own = len(column.errors) >= FEWEST
        limit, spread = (
            _limits(column.scaled_errors, column.similarity, column.scaled_spread)
            if own
            else everything
        )
        found.append(
            TaskDomain(
                task=task.name,
                similarity=limit,
                spread=spread * column.unit if spread is not None else None,
                pooled=not own,
                curve=_curve(column, low[column.rows, j], high[column.rows, j]),
            )
        )
    return Domain(tasks=tuple(found))


def inside(
    spread: npt.NDArray[np.float32], similarity: npt.NDArray[np.float32], domain: Domain
) -> npt.NDArray[np.bool_]:
    """Tells which predictions lie inside, bool (n, tasks).

    Args:
        spread: float32 (n, tasks), between members.
        similarity: float32 (n, tasks).
        domain: Of the same tasks, in the same order.
    """
    far, apart = Limits.of(domain).outside(spread, similarity)
    return np.asarray(~(far | apart), np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """A domain's limits, ready to be asked again and again.

    Attributes:
        nearest: float32 (tasks,); inside from this similarity on.
        widest: float64 (tasks,); inside up to this spread.
    """

    nearest: npt.NDArray[np.float32]
    widest: Floats

    @classmethod
    def of(cls, domain: Domain) -> Self:
        """Takes the limits of every task."""
        widest = [np.inf if task.spread is None else task.spread for task in domain.tasks]
        nearest = np.array([task.similarity for task in domain.tasks], np.float32)
        return cls(nearest, np.array(widest))

    def outside(
        self, spread: npt.NDArray[np.float32], similarity: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Tells what puts predictions outside, bool (n, tasks) each.

        Args:
            spread: float32 (n, tasks), between members; tasks in the domain's order.
            similarity: float32 (n, tasks).

        Returns:
            Where nothing similar enough was learned from, and where the members differ too much.
        """
        return similarity < self.nearest, spread > self.widest


class _Column:
    """One task's errors and where they were made; scaled ones can be pooled with other tasks'."""

    pooled = ("scaled_errors", "similarity", "scaled_spread")

    def __init__(
        self,
        answer: Predicted,
        labels: Labels,
        similarity: npt.NDArray[np.float32],
        column: int,
        task: TaskSpec,
    ) -> None:
        own = labels.select(labels.cols == column)
        predicted = answer.mean[own.rows, column]
        errors = np.abs(metrics.residuals(predicted, own.values, own.qualifiers))
        # A limit that a prediction lies beyond, on the right side, says nothing of the error.
        told = (own.qualifiers == 0) | (errors > 0)
        self.unit = 1.0 if task.kind == "classification" else task.spread
        self.rows = own.rows[told]
        self.errors = errors[told]
        self.values, self.qualifiers = own.values[told], own.qualifiers[told]
        self.similarity = similarity[self.rows, column].astype(np.float64)
        self.scaled_errors = self.errors / self.unit
        self.scaled_spread = answer.spread[self.rows, column] / np.float64(self.unit)


def _limits(errors: Floats, similarity: Floats, spread: Floats) -> tuple[float, float | None]:
    """Returns the least similarity and the largest spread at which errors stay usual."""
    if len(errors) < FEWEST:
        return _UNMEASURED, None
    limit = WORST * float(np.median(errors))
    nearest = max(1 - _farthest(1 - similarity, errors, limit), 0.0)
    if not spread.any():
        return nearest, None
    return nearest, _farthest(spread, errors, limit)


def _farthest(distance: Floats, errors: Floats, limit: float) -> float:
    """Returns the distance up to which the mean error, made to rise with it, is below the limit."""
    order = np.argsort(distance, kind="stable")
    bins = np.array_split(order, _bins(len(order)))
    means = _rising(
        np.array([errors[rows].mean() for rows in bins]), np.array([len(r) for r in bins])
    )
    seen = float(np.quantile(distance, 1 - _SEEN))
    inside_bins = int((means <= limit).sum())
    # The nearest bin is inside whatever its error: else a noisy assay would have no inside at all.
    last = float(distance[bins[max(inside_bins, 1) - 1]].max())
    return min(last, seen)


def _rising(means: Floats, sizes: npt.NDArray[np.int64]) -> Floats:
    """Returns the closest rising sequence (pool adjacent violators; Barlow et al. 1972)."""
    blocks: list[tuple[float, int, int]] = []  # mean, weight, number of bins
    for mean, size in zip(means.tolist(), sizes.tolist(), strict=True):
        blocks.append((mean, size, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (m1, w1, n1), (m2, w2, n2) = blocks[-2:]
            blocks[-2:] = [((m1 * w1 + m2 * w2) / (w1 + w2), w1 + w2, n1 + n2)]
    return np.repeat([mean for mean, _, _ in blocks], [n for _, _, n in blocks])


def _curve(
    column: _Column, low: npt.NDArray[np.float32], high: npt.NDArray[np.float32]
) -> tuple[Bin, ...]:
    if not len(column.errors):
        return ()
    order = np.argsort(column.similarity, kind="stable")
    return tuple(_bin(column, low, high, rows) for rows in np.array_split(order, _bins(len(order))))


def _bin(
    column: _Column,
    low: npt.NDArray[np.float32],
    high: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
) -> Bin:
    widths, exact = high[rows] - low[rows], rows[column.qualifiers[rows] == 0]
    with_intervals = not np.isnan(widths).any()
    met = covered(low[exact], high[exact], column.values[exact], column.qualifiers[exact])
    return Bin(
        low=float(column.similarity[rows].min()),
        high=float(column.similarity[rows].max()),
        n=len(rows),
        error=float(column.errors[rows].mean()),
        width=float(widths.mean()) if with_intervals else None,
        coverage=float(met.mean()) if with_intervals and len(exact) else None,
    )


def _bins(labels: int) -> int:
    return min(max(labels // _BIN, 1), _MOST_BINS)
