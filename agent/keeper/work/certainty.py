"""How sure a personal model is: calibrated on the fold that nothing was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.keeper.work.problem import Problem
from agent.learning import metrics
from agent.learning.certainty import Certainty, write_certainty
from agent.learning.domain import TaskDomain, draw_domain
from agent.learning.intervals import (
    AGE_RATE,
    LEVELS,
    Predicted,
    calibrate,
    intervals,
    reliability,
)
from agent.learning.recency import ages, recency
from agent.learning.similarity import Index, Nearest
from agent.learning.tasks import Labels, TaskSpec
from agent.releases import folder as release_folder
from agent.releases.card import Confidence, CurveBin, Level

_RESAMPLES = 1_000
_PERCENTILES = (2.5, 97.5)
Floats = npt.NDArray[np.float32]


def measure(
    problem: Problem, answer: Predicted, tasks: Sequence[TaskSpec], staged: Path
) -> Mapping[str, Confidence]:
    """Writes what predict needs to say how sure it is, and returns what the card says of it.

    Args:
        problem: The held-out labels calibrate, the newer ones most; those of training make the
            index of known compounds.
        answer: What the model says of all rows of the problem, in the order of `tasks`.
        tasks: The columns of the exported graph; the problem has all of them or fewer.
        staged: The release's folder.

    Raises:
        OSError: The disk is full or not writable.
    """
    train, held_out = (renumbered(part, problem, tasks) for part in (problem.train, _aged(problem)))
    index = Index.build(problem.features, train, [task.name for task in tasks])
    similarity = np.zeros(answer.mean.shape, np.float32)
    rows = np.unique(held_out.rows)
    similarity[rows] = Nearest(index).similarity(problem.features.take(rows))
    calibration = calibrate(answer, held_out, tasks, similarity)
    domain = draw_domain(answer, held_out, tasks, similarity, calibration)
    certainty = Certainty(calibration=calibration, domain=domain)
    write_certainty(staged / release_folder.CALIBRATION, certainty)
    index.save(staged / release_folder.NEIGHBOURS)
    observed = reliability(answer, held_out, tasks, similarity)
    low, high = intervals(answer, calibration, similarity=similarity)
    return {
        own.task: Confidence(
            n=own.n,
            pooled=own.pooled,
            width=_width(high - low, held_out, column),
            levels=_levels(observed.get(own.task, ())),
            similarity=limits.similarity,
            spread=limits.spread,
            curve=_curve(limits),
        )
        for column, (own, limits) in enumerate(zip(calibration.tasks, domain.tasks, strict=True))
    }


def error_interval(predicted: Floats, labels: Labels, column: int) -> tuple[float, float] | None:
    """Returns the 95 % bootstrap interval of one task's mean absolute error.

    Args:
        predicted: float32 (n, tasks).
        labels: Of the same rows and columns.
        column: Which task; a regression.

    Returns:
        None for fewer than two labels. Equal arguments give equal intervals.
    """
    own = labels.select(labels.cols == column)
    if len(own) < 2:
        return None
    errors = np.abs(metrics.residuals(predicted[own.rows, column], own.values, own.qualifiers))
    random = np.random.default_rng(0)
    means = [random.choice(errors, len(errors)).mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, _PERCENTILES)
    return float(low), float(high)


def _aged(problem: Problem) -> Labels:
    """Returns the held-out labels, each task's newer ones more important."""
    labels, importance = problem.held_out, np.ones(len(problem.held_out), np.float32)
    for column in np.unique(labels.cols):
        own = labels.cols == column
        age = ages(problem.held_out_dates[own].tolist())
        importance[own] = recency(age, AGE_RATE)
    return replace(labels, importance=importance)


def renumbered(labels: Labels, problem: Problem, tasks: Sequence[TaskSpec]) -> Labels:
    """Returns a problem's labels with the columns of these tasks; others are left out."""
    place = {task.name: column for column, task in enumerate(tasks)}
    columns = np.array([place.get(task.name, -1) for task in problem.tasks], np.int64)
    known = labels.select(columns[labels.cols] >= 0)
    return replace(known, cols=columns[known.cols])


def _width(widths: Floats, labels: Labels, column: int) -> float | None:
    own = widths[labels.rows[labels.cols == column], column]
    return float(own.mean()) if len(own) and not np.isnan(own).any() else None


def _levels(observed: Sequence[float]) -> tuple[Level, ...]:
    pairs = zip(LEVELS, observed, strict=False)
    return tuple(Level(predicted=level, observed=share) for level, share in pairs)


def _curve(limits: TaskDomain) -> tuple[CurveBin, ...]:
    return tuple(CurveBin(**dict(part)) for part in limits.curve)
