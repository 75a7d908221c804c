"""Figures of one split, from predictions and measurements."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.keeper.evaluation.order import EndpointDetail, EndpointFigures, Figure, Judgement
from agent.keeper.evaluation.split import Name
from agent.learning import metrics
from agent.learning.comparing import Interval, bootstrap, paired
from agent.learning.learner import Judged
from agent.learning.tasks import Labels, TaskSpec

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What was said of the test's compounds.

    Attributes:
        compounds: Keys, one a row.
        tasks: The columns.
        mean: float32 (n, tasks).
        low, high: float32 (n, tasks), ends of the 90 % intervals; NaN where there is none.
        trees: The baseline's, as `mean`; None without one.
    """

    compounds: tuple[str, ...]
    tasks: tuple[TaskSpec, ...]
    mean: npt.NDArray[np.float32]
    low: npt.NDArray[np.float32]
    high: npt.NDArray[np.float32]
    trees: npt.NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What the predictions came from.

    Attributes:
        labels: What was trained on.
        judged: How each head answers, and what that was chosen by.
        seconds: What choosing and training took.
    """

    labels: Labels
    judged: Judged
    seconds: float


def judgement(
    name: Name,
    order: Sequence[str],
    test: pl.DataFrame,
    predicted: Predicted,
    training: Training,
) -> Judgement:
    """Scores every measurement of the test; a qualified one counts as the number that it states.

    Args:
        name: The split's.
        order: Endpoints as the profile lists them.
        test: Measurements, as `read.Measured`.
        predicted: Of their compounds.
        training: What they came from.
    """
    column = {task.name: place for place, task in enumerate(predicted.tasks)}
    figures, details = {}, {}
    for task in order:
        rows = test.filter(pl.col("task") == task)
        if task in column and len(rows):
            one = _Endpoint.of(rows, column[task], predicted)
            figures[task] = one.figures()
            details[task] = one.detail(training.labels, training.judged)
    trees = [detail.baseline_rae for detail in details.values()]
    return Judgement(
        split=name,
        endpoints=figures,
        details=details,
        mean_rae=_mean([one.rae for one in figures.values()]),
        baseline_mean_rae=_mean(trees),
        train_seconds=round(training.seconds, 1),
        compounds=(len(np.unique(training.labels.rows)), test["compound_key"].n_unique()),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Endpoint:
    """One endpoint's measurements and what was said of them."""

    task: TaskSpec
    column: int
    measured: Numbers
    said: Numbers
    trees: Numbers | None
    low: Numbers
    high: Numbers
    groups: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: pl.DataFrame, column: int, predicted: Predicted) -> "_Endpoint":
        place = {key: row for row, key in enumerate(predicted.compounds)}
        at = np.array([place[key] for key in rows["compound_key"]], dtype=np.int64)
        trees = predicted.trees
        return cls(
            predicted.tasks[column],
            column,
            rows["value"].to_numpy().astype(np.float64),
            predicted.mean[at, column].astype(np.float64),
            None if trees is None else trees[at, column].astype(np.float64),
            predicted.low[at, column].astype(np.float64),
            predicted.high[at, column].astype(np.float64),
            at,
        )

    def figures(self) -> EndpointFigures:
        width = float((self.high - self.low).mean())
        covered = metrics.coverage(self.low, self.high, self.measured)
        return EndpointFigures(
            n=len(self.measured),
            mae=_defined(self._mae(self.said)),
            rae=_defined(metrics.rae(self.said, self.measured)),
            spearman=_defined(metrics.spearman(self.said, self.measured)),
            coverage_90=_defined(covered if math.isfinite(width) else math.nan),
        )

    def detail(self, trained: Labels, judged: Judged) -> EndpointDetail:
        off = np.abs(self.said - self.measured)
        sure = bootstrap(lambda taken: float(off[taken].mean()), len(off), groups=self.groups)
        classes = self.task.kind == "classification"
        ranked = metrics.auroc(self.said, self.measured) if classes else math.nan
        precise = metrics.auprc(self.said, self.measured) if classes else math.nan
        trees = self.trees
        against = None if trees is None else self._against(off, np.abs(trees - self.measured))
        return EndpointDetail(
            choice=judged.choices[self.column],
            n_train=int((trained.cols == self.column).sum()),
            mae_95=_ends(sure),
            r2=_defined(metrics.r2(self.said, self.measured)),
            auroc=_defined(ranked),
            auprc=_defined(precise),
            half_width_90=_defined(float((self.high - self.low).mean()) / 2),
            validation={
                way: _defined(float(errors[self.column])) for way, errors in judged.errors.items()
            },
            baseline_mae=None if trees is None else _defined(self._mae(trees)),
            baseline_rae=None if trees is None else _defined(metrics.rae(trees, self.measured)),
            against_baseline_95=against,
        )

    def _mae(self, said: Numbers) -> float:
        return metrics.mae(said, self.measured, np.zeros(len(said), np.int8))

    def _against(self, off: Numbers, other: Numbers) -> tuple[Figure, Figure]:
        return _ends(
            paired(
                [lambda taken: float(off[taken].mean())],
                [lambda taken: float(other[taken].mean())],
                len(off),
                groups=self.groups,
            )
        )


def _ends(interval: Interval) -> tuple[Figure, Figure]:
    return _defined(interval.low), _defined(interval.high)


def _mean(figures: Sequence[Figure]) -> Figure:
    defined = [figure for figure in figures if figure is not None]
    return sum(defined) / len(defined) if defined else None


def _defined(figure: float) -> Figure:
    return figure if math.isfinite(figure) else None
