from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.errors import Stop
from agent.learning.baseline import fit_predict_trees

if TYPE_CHECKING:
    from tests.unit.learning.conftest import Problem


def test_trees_learn_regressions_and_classes(problem: Problem) -> None:
    held_out = problem.labels.rows % 4 == 0
    said = fit_predict_trees(
        problem.features,
        problem.labels.select(~held_out),
        problem.tasks,
        problem.features,
        256,
    )
    test = problem.labels.select(held_out)
    wide = test.select(test.cols == 0)
    off = np.abs(said[wide.rows, 0] - wide.values).mean()
    assert off < 0.7 * np.abs(wide.values - wide.values.mean()).mean()
    assert ((said[:, 2] >= 0) & (said[:, 2] <= 1)).all()


def test_without_lightgbm_a_sentence_says_what_to_do(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(Stop, match=r"onggi\[baseline\]"):
        fit_predict_trees(problem.features, problem.labels, problem.tasks, problem.features, 256)
