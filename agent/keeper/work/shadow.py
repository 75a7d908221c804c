"""Shadow scoring: candidate and active model on the same newest measurements, head by head.

Only labels of the held-out fold are compared: no round at any silo has learned from them, and no
copy that was fitted here, neither the candidate's nor the active one's. Of these the newest count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.keeper.orders import PairScore, ShadowRule
from agent.keeper.work.problem import Problem
from agent.learning import metrics
from agent.learning.comparing import Figure, paired
from agent.learning.score import Score, score_tasks
from agent.learning.tasks import Labels, TaskSpec

Floats = npt.NDArray[np.float32]
Days = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model says of all rows of a problem.

    Attributes:
        said: float32 (n, tasks).
        tasks: The columns.
    """

    said: Floats
    tasks: Sequence[TaskSpec]

    def column(self, task: str) -> Floats | None:
        """Returns one task's answers, float32 (n,), or None."""
        names = [one.name for one in self.tasks]
        return self.said[:, names.index(task)] if task in names else None


def score_held_out(answers: Answers, problem: Problem) -> Mapping[str, Score]:
    """Scores a model on the whole held-out fold, on the tasks that it shares with the problem."""
    place = {task.name: number for number, task in enumerate(answers.tasks)}
    tasks, labels = problem.only(place)
    said = answers.said[:, [place[task.name] for task in tasks]]
    return score_tasks(said, labels, tasks)


def compare(
    candidate: Answers, active: Answers, problem: Problem, rule: ShadowRule
) -> tuple[PairScore, ...]:
    """Compares two models on each task that both have and this silo has measured."""
    pairs = []
    for column, task in enumerate(problem.tasks):
        new, old = candidate.column(task.name), active.column(task.name)
        if new is None or old is None:
            continue
        own = problem.held_out.cols == column
        labels, days = problem.held_out.select(own), problem.held_out_dates[own]
        chosen = newest(days, rule.window_days, rule.min_labels)
        since = min(days[chosen].tolist(), default="")  # empty where one of them has no date
        pairs.append(_pair(task, new, old, labels.select(chosen), since, rule.confidence))
    return tuple(pairs)


def newest(days: Days, window_days: int, least: int) -> npt.NDArray[np.bool_]:
    """Marks the newest labels of one task.

    Args:
        days: ISO dates, shape (n,); an empty text has none.
        window_days: Before the newest of them.
        least: Where the window holds fewer, it is widened by whole days until it holds so many;
            where fewer than so many have a date, all labels count.

    Returns:
        Bool (n,).
    """
    dated = days != ""
    if int(dated.sum()) < least or not dated.any():
        return np.ones(len(days), np.bool_)
    moments = np.full(len(days), np.datetime64("0001-01-01"))
    moments[dated] = days[dated].astype("datetime64[D]")
    window: np.datetime64 = moments.max() - np.timedelta64(window_days, "D")
    # The day of the label that makes the number full: a plate is measured in one day.
    full: np.datetime64 = np.sort(moments)[::-1][least - 1]
    marked: npt.NDArray[np.bool_] = dated & (moments >= min(window, full))
    return marked


def _pair(
    task: TaskSpec, new: Floats, old: Floats, labels: Labels, since: str, confidence: float
) -> PairScore:
    figures = [_figure(task, said[labels.rows], labels) for said in (new, old)]
    found = paired(figures[:1], figures[1:], len(labels), level=confidence)
    whole = np.arange(len(labels))
    candidate, active = (_defined(figure(whole)) for figure in figures)
    return PairScore(
        task=task.name,
        metric="1-AUROC" if task.kind == "classification" else "MAE",
        candidate=candidate,
        active=active,
        n=len(labels),
        low=_defined(found.low),
        high=_defined(found.high),
        since=since,
    )


def _figure(task: TaskSpec, said: Floats, labels: Labels) -> Figure:
    if task.kind == "classification":
        return lambda rows: 1.0 - metrics.auroc(said[rows], labels.values[rows])
    errors = np.abs(metrics.residuals(said, labels.values, labels.qualifiers))
    return lambda rows: float(errors[rows].mean()) if len(rows) else np.nan


def _defined(figure: float) -> float | None:
    return float(figure) if np.isfinite(figure) else None
