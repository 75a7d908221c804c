import math

import numpy as np
import pytest

from agent.errors import Refused
from agent.learning.tasks import Labels, TaskSpec


@pytest.mark.parametrize(("centre", "spread"), [(0.0, 0.0), (0.0, -1.0), (math.nan, 1.0)])
def test_an_impossible_scaling_is_an_error(centre: float, spread: float) -> None:
    with pytest.raises(ValueError, match="task x"):
        TaskSpec("x", "regression", centre, spread)


def _labels(rows: list[int], cols: list[int], values: list[float]) -> Labels:
    return Labels(
        np.array(rows, np.int64),
        np.array(cols, np.int64),
        np.array(values, np.float32),
        np.zeros(len(rows), np.int8),
    )


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (_labels([], [], []), "no_labels"),
        (_labels([5], [0], [1.0]), "label_out_of_range"),
        (_labels([-1], [0], [1.0]), "label_out_of_range"),
        (_labels([0], [2], [1.0]), "label_out_of_range"),
        (_labels([0], [0], [math.nan]), "label_not_finite"),
        (_labels([0, 1, 0], [1, 1, 1], [1.0, 2.0, 3.0]), "duplicate_label"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(labels: Labels, code: str) -> None:
    with pytest.raises(Refused) as caught:
        labels.check(rows=5, tasks=2)
    assert caught.value.code == code


def test_good_labels_pass_and_can_be_selected() -> None:
    labels = _labels([0, 0, 4], [0, 1, 1], [1.0, 2.0, 3.0])
    labels.check(rows=5, tasks=2)
    kept = labels.select(labels.cols == 1)
    assert (kept.rows.tolist(), kept.values.tolist(), kept.importance) == ([0, 4], [2, 3], None)
