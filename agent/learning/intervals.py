"""Conformal intervals, calibrated on the newest window of what this silo measured itself.

A residual is divided by how unsure the model is of that very compound, a + b * spread + c * (1 -
similarity), and the quantiles of what results make the interval (normalized conformal prediction:
Papadopoulos et al. 2011, J. Artif. Intell. Res. 40, 815). Newer residuals weigh more, since a
series moves on (Tibshirani et al. 2019, arXiv:1904.06019; Barber et al. 2023, Ann. Stat. 51, 816).

Of intervals with and without each part, those with equal parts of a constant, of spread and of
distance, symmetrical, with weights e^(-1.5 age), had the best interval score on a time split of
ExpansionRx among those that keep their coverage; shifting each endpoint's mean, or quantiles apart
for either side, follow the last window's bias, and the next one has another: both lost.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from agent.learning.tasks import Labels, TaskSpec
from agent.wire.document import Document

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
AGE_RATE = 1.5  # for `importance` of the labels to calibrate on: exp(-rate * age)
FEWEST = 30  # exact labels; with fewer the quantile of 95 % is no more than the largest residual
_JUDGED = 3  # one label in so many, the newest ones, judges what the others calibrated

Floats = npt.NDArray[np.floating]
Reach = tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]
Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Predicted(Protocol):
    """What an ensemble answers."""

    @property
    def mean(self) -> npt.NDArray[np.float32]:
        """float32 (n, tasks), on the transformed scale."""
        ...

    @property
    def spread(self) -> npt.NDArray[np.float32]:
        """float32 (n, tasks), the standard deviation between members."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a model says of n compounds; `Predicted` for those who have plain arrays.

    Attributes:
        mean: float32 (n, tasks), on the transformed scale.
        spread: float32 (n, tasks); zeros where there are no members to differ.
    """

    mean: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]


class TaskCalibration(Document):
    """How wide a task's intervals are.

    Attributes:
        task: The head's name.
        n: Exact labels that it was calibrated on.
        pooled: They were too few: all tasks were calibrated together, and it is at least as wide
            as the task's own residuals ask for.
        constant, by_spread, by_distance: a, b and c above.
        reach: Half the width at each of `LEVELS` where a + b * spread + c * (1 - similarity) is 1;
            empty where there is no interval: for a class, or where nothing was measured.
    """

    task: str
    n: Annotated[int, Field(ge=0)]
    pooled: bool
    constant: Positive
    by_spread: Positive
    by_distance: Positive
    reach: Reach


class Calibration(Document):
    """The calibration of every task, in the order of the model's columns."""

    version: Literal[1] = 1
    tasks: tuple[TaskCalibration, ...]


def calibrate(
    answer: Predicted,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    similarity: npt.NDArray[np.float32] | None = None,
) -> Calibration:
    """Calibrates on labels that the model has not seen.

    Args:
        answer: What the model says of n compounds.
        labels: Their measured values; the newest window, with `importance` greater for newer ones
            (`exp(-AGE_RATE * age)`). A censored one says how large its residual is at least.
        tasks: The columns.
        similarity: float32 (n, tasks), to the nearest compound that the task was trained on; None
            leaves it out.
    """
    columns = [_Column(answer, labels, similarity, j) for j in range(len(tasks))]
    regressions = [
        (column, task.spread)
        for column, task in zip(columns, tasks, strict=True)
        if task.kind == "regression"
    ]
    together = _pool(regressions)
    return Calibration(
        tasks=tuple(
            _calibrated(column, task, together) for column, task in zip(columns, tasks, strict=True)
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class Widths:
    """A calibration at one level, ready to be asked again and again.

    Attributes:
        reach, constant, by_spread, by_distance: float64 (tasks,), as of `TaskCalibration`; `reach`
            is NaN where there is no interval.
    """

    reach: Floats
    constant: Floats
    by_spread: Floats
    by_distance: Floats

    @classmethod
    def of(cls, calibration: Calibration, level: float = 0.9) -> Self:
        """Takes what one level needs.

        Args:
            calibration: Of all tasks.
            level: From the first to the last of `LEVELS`.

        Raises:
            ValueError: The level is outside of what was calibrated.
        """
        if not LEVELS[0] <= level <= LEVELS[-1]:
            raise ValueError(f"intervals are calibrated from {LEVELS[0]} to {LEVELS[-1]}")
        found = calibration.tasks
        return cls(
            np.array([np.interp(level, LEVELS, t.reach) if t.reach else math.nan for t in found]),
            np.array([t.constant for t in found]),
            np.array([t.by_spread for t in found]),
            np.array([t.by_distance for t in found]),
        )

    def ends(
        self, answer: Predicted, similarity: npt.NDArray[np.float32] | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Returns the low and high ends, float32 (n, tasks) each, on the transformed scale.

        Args:
            answer: What the model says of n compounds, tasks in the calibration's order.
            similarity: float32 (n, tasks); None takes every compound for one as far away as those
                of the calibration were on average.

        Returns:
            NaN where the calibration has no interval.
        """
        if similarity is None:
            # An average compound's part of distance is as large as the constant part.
            distant = np.where(self.by_distance > 0, self.constant, 0.0)
        else:
            distant = self.by_distance * (1 - similarity)
        half = self.reach * (self.constant + self.by_spread * answer.spread + distant)
        return (answer.mean - half).astype(np.float32), (answer.mean + half).astype(np.float32)


def intervals(
    answer: Predicted,
    calibration: Calibration,
    level: float = 0.9,
    similarity: npt.NDArray[np.float32] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Returns `Widths.ends` of a calibration that is asked once.

    Raises:
        ValueError: The level is outside of what was calibrated.
    """
    return Widths.of(calibration, level).ends(answer, similarity)


def covered(
    low: Floats, high: Floats, values: Floats, qualifiers: npt.NDArray[np.int8]
) -> npt.NDArray[np.bool_]:
    """Tells which values, (m,), lie in their intervals; a censored one does if it may."""
    # "<": the value lies anywhere below its limit, so an interval that begins there has it.
    above = (values >= low) | (qualifiers > 0)
    below = (values <= high) | (qualifiers < 0)
    met: npt.NDArray[np.bool_] = above & below
    return met


def reliability(
    answer: Predicted,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    similarity: npt.NDArray[np.float32] | None = None,
) -> Mapping[str, tuple[float, ...]]:
    """Returns by task the coverage at each of `LEVELS`, of labels newer than the calibration's.

    The older two thirds of each task's labels calibrate, the newest third judges: a shift between
    the two shows. Where labels have no importance, every third one judges.

    Args:
        answer: As for `calibrate`.
        labels: As for `calibrate`.
        tasks: The columns.
        similarity: As for `calibrate`.

    Returns:
        Only tasks with `FEWEST` exact labels that judge or more.
    """
    newest = _newest_third(labels)
    calibration = calibrate(answer, labels.select(~newest), tasks, similarity)
    judged = labels.select(newest & (labels.qualifiers == 0))
    cells = judged.rows, judged.cols
    met = []
    for level in LEVELS:
        low, high = intervals(answer, calibration, level, similarity)
        met.append(covered(low[cells], high[cells], judged.values, judged.qualifiers))
    counts = np.bincount(judged.cols, minlength=len(tasks))
    return {
        task.name: tuple(float(at[judged.cols == column].mean()) for at in met)
        for column, task in enumerate(tasks)
        if counts[column] >= FEWEST and calibration.tasks[column].reach
    }


class _Column:
    """One task's residuals, in units of how unsure the model is of each compound."""

    def __init__(
        self,
        answer: Predicted,
        labels: Labels,
        similarity: npt.NDArray[np.float32] | None,
        column: int,
    ) -> None:
        own = labels.select(labels.cols == column)
        spread = answer.spread[own.rows, column].astype(np.float64)
        far = 1.0 - similarity[own.rows, column] if similarity is not None else np.zeros(len(own))
        self.terms = _terms(spread, far)
        constant, by_spread, by_distance = self.terms
        unsure = constant + by_spread * spread + by_distance * far
        raw = own.values.astype(np.float64) - answer.mean[own.rows, column]
        # "> 3" where 1 is predicted: the residual is 2 or more; where 4 is: anything.
        least = np.where(own.qualifiers > 0, raw, np.where(own.qualifiers < 0, -raw, np.abs(raw)))
        self.scores = least.clip(min=0) / unsure
        self.exact = own.qualifiers == 0
        self.weights = np.ones(len(own)) if own.importance is None else own.importance


def _terms(spread: Floats, far: Floats) -> tuple[float, float, float]:
    """Returns a, b and c: equal parts on average; a part that is always 0 is left out."""
    means = [float(part.mean()) if len(part) else 0.0 for part in (spread, far)]
    part = 1.0 / (1 + sum(mean > 0 for mean in means))
    by_spread, by_distance = (part / mean if mean > 0 else 0.0 for mean in means)
    return part, by_spread, by_distance


def _calibrated(
    column: _Column, task: TaskSpec, together: npt.NDArray[np.float64] | None
) -> TaskCalibration:
    n = int(column.exact.sum())
    pooled = n < FEWEST
    reach: npt.NDArray[np.float64] | None = None
    if task.kind == "regression" and together is not None:
        reach = _quantiles(column.scores, column.exact, column.weights) if n else np.zeros(1)
        reach = np.maximum(together * task.spread, reach) if pooled else reach
    constant, by_spread, by_distance = column.terms
    return TaskCalibration(
        task=task.name,
        n=n,
        pooled=pooled and task.kind == "regression",
        constant=constant,
        by_spread=by_spread,
        by_distance=by_distance,
        reach=() if reach is None else tuple(reach.tolist()),
    )


def _pool(columns: Sequence[tuple[_Column, float]]) -> npt.NDArray[np.float64] | None:
    """Returns the quantiles over all tasks in units of their spread; None without any label."""
    if not any(column.exact.any() for column, _ in columns):
        return None
    return _quantiles(
        np.concatenate([column.scores / spread for column, spread in columns]),
        np.concatenate([column.exact for column, _ in columns]),
        np.concatenate([column.weights for column, _ in columns]),
    )


def _quantiles(
    scores: Floats, exact: npt.NDArray[np.bool_], weights: Floats
) -> npt.NDArray[np.float64]:
    """Returns the scores that the shares `LEVELS` of all lie below.

    Kaplan and Meier's estimate (1958): a censored score counts as long as it may be the larger one.
    Without censoring it is the weighted conformal quantile, the new compound's weight at infinity.
    """
    order = np.lexsort((~exact, scores))  # of equal ones the exact come first, as is the custom
    scores, exact, weights = scores[order], exact[order], weights[order].astype(np.float64)
    at_risk = np.cumsum(weights[::-1])[::-1] + weights.max()
    below = 1 - np.cumprod(1 - np.where(exact, weights / at_risk, 0.0))
    # A level that so few cannot show is given the largest score.
    places = np.searchsorted(below, np.array(LEVELS) - 1e-9).clip(max=len(scores) - 1)
    return np.asarray(scores[places], dtype=np.float64)


def _newest_third(labels: Labels) -> npt.NDArray[np.bool_]:
    newest = np.zeros(len(labels), np.bool_)
    for column in np.unique(labels.cols):
        own = np.flatnonzero(labels.cols == column)
        if labels.importance is None or np.ptp(labels.importance[own]) == 0:
            newest[own[_JUDGED - 1 :: _JUDGED]] = True
        else:
            order = np.argsort(labels.importance[own], kind="stable")
            newest[own[order[len(own) - len(own) // _JUDGED :]]] = True
    return newest
