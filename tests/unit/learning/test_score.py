from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.learning.score import predict, score_tasks
from agent.learning.tasks import Labels, TaskSpec

if TYPE_CHECKING:
    from tests.unit.learning.conftest import Problem

_TASKS = (TaskSpec("x", "regression"), TaskSpec("y", "classification"))


def _labels(entries: list[tuple[int, int, float, int]]) -> Labels:
    rows, cols, values, sides = np.array(entries, dtype=float).reshape(-1, 4).T
    return Labels(
        rows.astype(np.int64), cols.astype(np.int64), values.astype("f4"), sides.astype(np.int8)
    )


def test_an_untrained_network_predicts_near_the_centres_on_the_tasks_own_scales(
    problem: Problem,
) -> None:
    start = problem.start()
    for task in problem.tasks:
        start[f"head.{task.name}.weight"][:] = 0
    start["head.wide.bias"][:] = 0.5
    predictions = predict(start, problem.network, problem.features, problem.tasks)
    assert predictions.shape == (len(problem.features), 3)
    assert np.unique(predictions, axis=0) == pytest.approx(np.array([[200.0, 3.0, 0.5]]))


def test_dropout_is_off_and_a_row_does_not_depend_on_its_batch(problem: Problem) -> None:
    many = predict(problem.start(), problem.network, problem.features, problem.tasks)
    one = problem.features.take(np.array([7]))
    alone = predict(problem.start(), problem.network, one, problem.tasks)
    assert alone[0] == pytest.approx(many[7], rel=1e-5)


def test_no_rows_give_no_predictions(problem: Problem) -> None:
    none = problem.features.take(np.zeros(0, np.int64))
    assert predict(problem.start(), problem.network, none, problem.tasks).shape == (0, 3)


def test_a_regression_is_scored_with_its_qualifiers() -> None:
    labels = _labels([(0, 0, 1.0, 0), (1, 0, 2.0, 0), (2, 0, 1.0, -1), (3, 0, 4.0, 0)])
    predictions = np.array([[2.0, 0], [2.0, 0], [0.0, 0], [4.0, 0]], np.float32)
    score = score_tasks(predictions, labels, _TASKS)["x"]
    assert (score.metric, score.n) == ("MAE", 4)
    assert score.value == pytest.approx(0.25)
    assert score.more["rmse"] == pytest.approx(0.5)
    assert score.more["spearman"] == pytest.approx(0.866, abs=1e-3)
    assert score.more["r2"] == pytest.approx(1 - 1 / (14 / 3))


def test_a_class_is_scored_by_its_ranking() -> None:
    labels = _labels([(0, 1, 1.0, 0), (1, 1, 0.0, 0), (2, 1, 0.0, 0)])
    predictions = np.array([[0, 0.6], [0, 0.7], [0, 0.1]], np.float32)
    score = score_tasks(predictions, labels, _TASKS)["y"]
    assert (score.metric, score.value, score.n) == ("1-AUROC", 0.5, 3)


def test_an_error_that_is_not_defined_is_none_and_never_a_number() -> None:
    scores = score_tasks(np.zeros((1, 2), np.float32), _labels([(0, 1, 1.0, 0)]), _TASKS)
    assert (scores["x"].value, scores["x"].n, dict(scores["x"].more)) == (None, 0, {})
    assert (scores["y"].value, scores["y"].n) == (None, 1)
