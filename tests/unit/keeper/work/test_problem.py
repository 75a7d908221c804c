from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.features.rows import Features
from agent.keeper.work.problem import CHOICE_FOLD, Problem, _weighted
from agent.learning.tasks import Labels, TaskSpec

if TYPE_CHECKING:
    import numpy.typing as npt

DAYS = np.array([f"2026-01-{day:02}" for day in range(1, 21)])


def _problem(dates: "npt.NDArray[np.str_]") -> Problem:
    """One task, 20 labels, in folds 1 to 4 by turns."""
    n = len(dates)
    zeros = np.zeros(n, np.int64)
    labels = Labels(np.arange(n), zeros, np.zeros(n, np.float32), np.zeros(n, np.int8))
    features = Features(
        indptr=np.zeros(n + 1, np.int64),
        indices=np.zeros(0, np.int32),
        values=np.zeros(0, np.float32),
        dense=np.zeros((n, 1), np.float32),
    )
    return Problem(
        features=features,
        tasks=(TaskSpec("x", "regression"),),
        train=labels,
        held_out=labels.select(np.zeros(n, np.bool_)),
        endpoints={},
        held_out_dates=dates[:0],
        train_dates=dates,
        folds=(np.arange(n) % 4 + 1).astype(np.int32),
    )


def test_the_newest_labels_are_those_of_the_last_days() -> None:
    random = np.random.default_rng(0)
    order = random.permutation(20)
    older, newest = _problem(DAYS[order]).split(0.15)
    assert sorted(DAYS[order][newest.rows]) == DAYS[-3:].tolist()
    assert len(older) == 17


def test_a_day_is_never_parted() -> None:
    dates = np.array(["2026-01-01"] * 10 + ["2026-01-02"] * 10)
    older, newest = _problem(dates).split(0.15)
    assert newest.rows.tolist() == list(range(10, 20))
    assert len(older) == 10


def test_without_two_dates_a_fold_stands_for_the_newest() -> None:
    for dates in (np.full(20, ""), np.full(20, "2026-01-01")):
        problem = _problem(dates)
        older, newest = problem.split(0.15)
        assert (problem.folds[newest.rows] == CHOICE_FOLD).all()
        assert len(newest) == 5
        assert not set(older.rows) & set(newest.rows)


def test_no_share_parts_nothing() -> None:
    older, newest = _problem(DAYS).split(0.0)
    assert (len(older), len(newest)) == (20, 0)


def test_newer_labels_weigh_more() -> None:
    labels = _problem(DAYS).train
    importance = _weighted(labels, DAYS, 1.5).importance
    assert importance is not None
    assert (np.diff(importance) > 0).all()
    assert importance[-1] == 1
    assert importance[0] == pytest.approx(np.exp(-1.5 * 0.95))


def test_without_dates_or_a_rate_all_weigh_alike() -> None:
    labels = _problem(DAYS).train
    assert _weighted(labels, np.full(20, ""), 1.5).importance is None
    assert _weighted(labels, DAYS, 0.0).importance is None
