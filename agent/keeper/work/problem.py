"""A learning problem: features, labels in training and held-out folds, and the tasks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.assays.endpoints import PRIVATE, EndpointIndex
from agent.assays.quorum import Quorum, standing
from agent.assays.snapshot import Snapshot
from agent.assays.split import newest
from agent.errors import Refused
from agent.features.rows import Features
from agent.keeper.orders import TaskScore, TrainingOrder
from agent.keeper.work.snapshot import load_features
from agent.learning.recency import ages, recency
from agent.learning.score import Score
from agent.learning.tasks import Labels, TaskSpec
from agent.wire.documents import Endpoint
from agent.wire.scale import head_scale

HELD_OUT_FOLD = 0  # the same structures at every silo, since folds hash the scaffold
CHOICE_FOLD = 1  # stands for the newest labels of a task that has no dates


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What one job learns from.

    Attributes:
        tasks: Heads with enough training labels, the columns of both sets of labels.
        train: Labels outside the held-out fold; the newer weigh more where they have dates.
        train_dates: Their ISO dates, or empty texts.
        folds: int32 (n,), of each compound.
        held_out: Labels in it; nothing ever trains on them, at any silo.
        held_out_dates: Their ISO dates, or empty texts.
        window: The dates of the first and the last label, or empty texts.
        endpoints: By task.
    """

    features: Features
    tasks: tuple[TaskSpec, ...]
    train: Labels
    held_out: Labels
    endpoints: Mapping[str, Endpoint]
    held_out_dates: npt.NDArray[np.str_]
    train_dates: npt.NDArray[np.str_]
    folds: npt.NDArray[np.int32]
    window: tuple[str, str] = ("", "")

    def train_counts(self) -> dict[str, int]:
        """Returns the number of training labels by task."""
        return {t.name: int(np.sum(self.train.cols == i)) for i, t in enumerate(self.tasks)}

    def only(self, heads: Collection[str]) -> tuple[tuple[TaskSpec, ...], Labels]:
        """Returns the tasks among these heads and the held-out labels, renumbered to fit them."""
        columns = [i for i, task in enumerate(self.tasks) if task.name in heads]
        place = np.full(len(self.tasks), -1, dtype=np.int64)
        place[columns] = np.arange(len(columns))
        labels = self.held_out.select(place[self.held_out.cols] >= 0)
        renumbered = replace(labels, cols=place[labels.cols])
        return tuple(self.tasks[column] for column in columns), renumbered

    def split(self, share: float) -> tuple[Labels, Labels]:
        """Parts the training labels, task by task, into the older and the newest.

        A task whose labels do not have two dates is parted by structure: one fold counts as new.

        Args:
            share: Of each task's dated labels that count as new, about: labels of one day stay
                together. 0 leaves all of them in the first part.
        """
        new = np.zeros(len(self.train), np.bool_)
        for column in np.unique(self.train.cols) if share else ():
            own = np.flatnonzero(self.train.cols == column)
            dated = newest(self.train_dates[own], share)
            in_fold = self.folds[self.train.rows[own]] == CHOICE_FOLD
            new[own] = dated if dated.any() else in_fold
        return self.train.select(~new), self.train.select(new)

    def score_table(self, scores: Mapping[str, Score]) -> tuple[TaskScore, ...]:
        """Turns scores on the held-out fold into rows of a result."""
        counts = self.train_counts()
        return tuple(
            TaskScore(
                task=task,
                metric=score.metric,
                value=score.value,
                n_train=counts.get(task, 0),
                n_test=score.n,
            )
            for task, score in scores.items()
        )


def load_problem(order: TrainingOrder) -> Problem:
    """Loads the frozen snapshot of an order.

    Raises:
        Refused: `too_few_labels` when no task has enough, or `damaged_snapshot`.
    """
    snapshot = Snapshot.load(Path(order.folder))
    index = EndpointIndex(order.catalogue, order.private)
    in_training = snapshot.folds[snapshot.rows] != HELD_OUT_FOLD
    columns = [
        column
        for column, task in enumerate(snapshot.tasks)
        if task.startswith(PRIVATE) or task in order.plan.endpoints
        if np.sum(in_training & (snapshot.cols == column)) >= order.settings.min_labels
        if _meets_quorum(snapshot, column, Quorum(**order.settings.quorum.model_dump()))
    ]
    if not columns:
        raise Refused(
            "too_few_labels",
            f"No endpoint has {order.settings.min_labels} training labels and its quorum yet; "
            "add measurements, `onggi status` says how many.",
        )
    endpoints = {snapshot.tasks[c]: index.endpoint(snapshot.tasks[c]) for c in columns}
    train_dates = snapshot.dates[_chosen(snapshot, columns, in_training)]
    if order.plan.privacy.mode != "none":
        # What counts as new, and how much, would depend on other compounds' dates.
        train_dates = np.full_like(train_dates, "")
    train = _labels(snapshot, columns, in_training)
    return Problem(
        features=load_features(Path(order.folder)),
        tasks=tuple(task_spec(name, endpoint) for name, endpoint in endpoints.items()),
        train=_weighted(train, train_dates, order.plan.recipe.recency_rate),
        held_out=_labels(snapshot, columns, ~in_training),
        endpoints=endpoints,
        held_out_dates=snapshot.dates[_chosen(snapshot, columns, ~in_training)],
        train_dates=train_dates,
        folds=snapshot.folds,
        window=_window(snapshot),
    )


def _weighted(labels: Labels, dates: npt.NDArray[np.str_], rate: float) -> Labels:
    """Returns the labels, each task's newer ones more important; as they are without any date."""
    if not rate or not (dates != "").any():
        return labels
    importance = np.ones(len(labels), np.float32)
    for column in np.unique(labels.cols):
        own = labels.cols == column
        importance[own] = recency(ages(dates[own].tolist()), rate)
    return replace(labels, importance=importance)


def _window(snapshot: Snapshot) -> tuple[str, str]:
    dated = snapshot.dates[snapshot.dates != ""]
    return (str(min(dated)), str(max(dated))) if len(dated) else ("", "")


def _chosen(
    snapshot: Snapshot, columns: list[int], mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    return mask & np.isin(snapshot.cols, columns)


def _meets_quorum(snapshot: Snapshot, column: int, quorum: Quorum) -> bool:
    chosen = snapshot.cols == column
    kind = snapshot.kinds[column]
    return standing(kind, snapshot.values[chosen], snapshot.qualifiers[chosen], quorum).met


def task_spec(name: str, endpoint: Endpoint) -> TaskSpec:
    """Derives a head's scaling from the endpoint's plausible range alone."""
    centre, spread = head_scale(endpoint)
    return TaskSpec(name, endpoint.kind, centre, spread, endpoint.unit)


def _labels(snapshot: Snapshot, columns: list[int], mask: npt.NDArray[np.bool_]) -> Labels:
    place = np.full(len(snapshot.tasks), -1, dtype=np.int64)
    place[columns] = np.arange(len(columns))
    chosen = _chosen(snapshot, columns, mask)
    return Labels(
        rows=snapshot.rows[chosen].astype(np.int64),
        cols=place[snapshot.cols[chosen]],
        values=snapshot.values[chosen].astype(np.float32),
        qualifiers=snapshot.qualifiers[chosen].astype(np.int8),
    )
