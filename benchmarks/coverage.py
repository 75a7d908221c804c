"""Whether 90 % intervals hold on later compounds, and whether they are narrower inside the domain.

Two kinds: the constant widths that `onggi evaluate` prints (`agent.learning.conformal`), and those
that a release serves, scaled by spread and distance (`agent.learning.intervals`); both calibrated
on the newest training compounds, which the calibrated members had not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from agent.keeper.evaluation.gather import Gathered
from agent.learning.conformal import half_widths
from agent.learning.domain import draw_domain, inside
from agent.learning.intervals import AGE_RATE, calibrate, intervals
from agent.learning.learner import Judged
from agent.learning.recency import ages, recency
from agent.learning.similarity import Index, Nearest
from agent.learning.tasks import Labels
from benchmarks.models import Doubles, Exam, Trained
from benchmarks.report import Row, mean

_LOW, _HIGH, _LEVEL = 0.85, 0.95, 0.9
_MUST = "85–95 %"

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Covered:
    """One seed's intervals on the exam's measurements.

    Attributes:
        constant: By task, coverage of constant widths.
        scaled: By task, coverage of widths by spread and distance.
        widths: float64 (m,), of the scaled ones, in each task's standard deviations.
        within: bool (m,), which lie inside the domain.
    """

    constant: Doubles
    scaled: Doubles
    widths: Doubles
    within: Marks


def cover(own: Gathered, kept_back: Marks, trained: Trained, exam: Exam) -> Covered:
    """Calibrates on the validation labels and counts on the exam.

    Args:
        own: What was trained on.
        kept_back: bool (labels,), those of the validation compounds.
        trained: With what they said.
        exam: The later measurements.

    Raises:
        ValueError: Nothing was kept back to calibrate on.
    """
    if trained.judged is None:
        raise ValueError("intervals need compounds that were kept back")
    judged, silo = trained.judged, own.silo
    half = _constant(judged, [task.spread for task in exam.tasks])
    said = exam.said(trained.answer.mean)
    names = [task.name for task in exam.tasks]
    known = Nearest(Index.build(silo.features, silo.labels.select(~kept_back), names))
    rows = np.unique(silo.labels.rows[kept_back])
    near = known.similarity(silo.features.take(rows))
    labels = _newer_more(judged.labels, silo.age, kept_back)
    calibration = calibrate(judged.answer, labels, exam.tasks, near)
    domain = draw_domain(judged.answer, labels, exam.tasks, near, calibration)
    whole = Nearest(Index.build(silo.features, silo.labels, names)).similarity(exam.features)
    low, high = intervals(trained.answer, calibration, _LEVEL, whole)
    cells = exam.rows, exam.cols
    met = (low[cells] <= exam.values) & (exam.values <= high[cells])
    spreads = np.array([task.spread for task in exam.tasks])
    return Covered(
        _by_task(np.abs(said - exam.values) <= half[exam.cols], exam),
        _by_task(met, exam),
        ((high - low)[cells] / spreads[exam.cols]).astype(np.float64),
        inside(trained.answer.spread, whole, domain)[cells],
    )


def _constant(judged: Judged, spreads: Sequence[float]) -> Doubles:
    labels = judged.labels
    off = np.abs(judged.answer.mean[labels.rows, labels.cols].astype(np.float64) - labels.values)
    return half_widths([off[labels.cols == c] for c in range(len(spreads))], spreads, _LEVEL)


def _newer_more(labels: Labels, age: Doubles | None, kept_back: Marks) -> Labels:
    """Weighs each task's newer labels more, as the keeper does."""
    if age is None:
        return labels
    # Ages among the kept-back labels of the same task, as texts that sort by time.
    moments = np.array([f"{1 - one:.12f}" for one in age[kept_back]])
    importance = np.ones(len(labels), np.float32)
    for column in np.unique(labels.cols):
        of_task = labels.cols == column
        importance[of_task] = recency(ages(moments[of_task].tolist()), AGE_RATE)
    return replace(labels, importance=importance)


def _by_task(met: Marks, exam: Exam) -> Doubles:
    return np.array([float(met[exam.of_task(column)].mean()) for column in exam.judged])


def coverage_rows(what: str, found: Sequence[Covered]) -> list[Row]:
    """Returns the rows; the runs are the endpoints, each the mean of its seeds."""
    rows = []
    for kind in ("constant", "scaled"):
        tasks = np.mean([getattr(one, kind) for one in found], axis=0)
        worst = float(tasks[np.argmax(np.abs(tasks - _LEVEL))])
        name = f"{what}: coverage of 90 % intervals, widths {kind}"
        rows += [_row(f"{name}, mean of the endpoints", mean(tasks), tasks)]
        rows += [_row(f"{name}, the worst endpoint", worst, tasks)]
    ratios = [
        float(one.widths[one.within].mean() / one.widths[~one.within].mean())
        for one in found
        if one.within.any() and not one.within.all()
    ]
    value = mean(ratios) if ratios else None
    narrower = None if value is None else value < 1
    name = f"{what}: width inside the domain over that outside"
    return [*rows, Row(name, value, "×", must="< 1", met=narrower, runs=ratios)]


def _row(name: str, value: float, tasks: Doubles) -> Row:
    met = _LOW <= value <= _HIGH
    return Row(name, value, "", must=_MUST, met=met, runs=[float(one) for one in tasks])
