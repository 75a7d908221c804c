"""How sure the model is of each compound, calibrated on the newest that no member had seen."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from agent.learning.ensemble import Answer
from agent.learning.federation import Silo
from agent.learning.intervals import AGE_RATE, Calibration, calibrate, intervals
from agent.learning.learner import Judged
from agent.learning.recency import ages, recency
from agent.learning.similarity import Index, Nearest
from agent.learning.tasks import Labels, Rows

Floats = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]
LEVEL = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What was calibrated on.

    Attributes:
        labels: Of the validation compounds, newer ones more important; `rows` as in `Judged`.
        similarity: float32 (n, tasks), to the nearest compound that the members had learned from.
        calibration: What came of it.
    """

    labels: Labels
    similarity: Floats
    calibration: Calibration


def window(silo: Silo, kept_back: Marks, judged: Judged) -> Window:
    """Calibrates on what was kept back while the ways to answer were chosen.

    Args:
        silo: With all its labels.
        kept_back: bool (labels,), those of the validation compounds.
        judged: What was said of them.
    """
    names = [task.name for task in silo.tasks]
    known = Nearest(Index.build(silo.features, silo.labels.select(~kept_back), names))
    near = known.similarity(silo.features.take(np.unique(silo.labels.rows[kept_back])))
    labels = _newer_more(judged.labels, silo.age, kept_back)
    return Window(labels, near, calibrate(judged.answer, labels, silo.tasks, near))


def similarity(silo: Silo, asked: Rows) -> Floats:
    """Returns how much compounds resemble what each task is trained on, float32 (n, tasks)."""
    names = [task.name for task in silo.tasks]
    return Nearest(Index.build(silo.features, silo.labels, names)).similarity(asked)


def ends(found: Window, answer: Answer, near: Floats) -> tuple[Floats, Floats]:
    """Returns the low and high ends of 90 % intervals; NaN where there is none.

    Args:
        found: The calibration.
        answer: What the model says of n compounds.
        near: Their similarity, as `similarity` returns it.
    """
    return intervals(answer, found.calibration, LEVEL, near)


def _newer_more(labels: Labels, age: npt.NDArray[np.float64] | None, kept_back: Marks) -> Labels:
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
