"""Whether 90 % intervals hold on later compounds, and whether they are narrower inside the domain.

The intervals are those of `onggi evaluate` and of a release (`agent.learning.intervals`),
calibrated on the newest training compounds, which the calibrated members had not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.features.views import default_views
from agent.keeper.evaluation.gather import Gathered
from agent.keeper.evaluation.sureness import LEVEL, ends, similarity, window
from agent.learning.domain import draw_domain, inside
from benchmarks.models import Doubles, Exam, Trained
from benchmarks.report import Row, mean

_LOW, _HIGH = 0.85, 0.95
_MUST = "85–95 %"

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Covered:
    """One seed's intervals on the exam's measurements.

    Attributes:
        met: By task, the share of measurements within their interval.
        widths: float64 (m,), in each task's standard deviations.
        within: bool (m,), which lie inside the domain.
    """

    met: Doubles
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
    wide = default_views().wide  # what `onggi evaluate` asks neighbours by
    plain = own.silo.seeing(wide)
    found = window(plain, kept_back, trained.judged)
    near = similarity(plain, exam.features.columns(*wide))
    domain = draw_domain(
        trained.judged.answer, found.labels, exam.tasks, found.similarity, found.calibration
    )
    low, high = ends(found, trained.answer, near)
    cells = exam.rows, exam.cols
    met = (low[cells] <= exam.values) & (exam.values <= high[cells])
    spreads = np.array([task.spread for task in exam.tasks])
    return Covered(
        _by_task(met, exam),
        ((high - low)[cells] / spreads[exam.cols]).astype(np.float64),
        inside(trained.answer.spread, near, domain)[cells],
    )


def _by_task(met: Marks, exam: Exam) -> Doubles:
    return np.array([float(met[exam.of_task(column)].mean()) for column in exam.judged])


def coverage_rows(what: str, found: Sequence[Covered]) -> list[Row]:
    """Returns the rows; the runs are the endpoints, each the mean of its seeds."""
    tasks = np.mean([one.met for one in found], axis=0)
    worst = float(tasks[np.argmax(np.abs(tasks - LEVEL))])
    name = f"{what}: coverage of 90 % intervals"
    rows = [_row(f"{name}, mean of the endpoints", mean(tasks), tasks)]
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
