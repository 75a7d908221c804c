import math

import numpy as np
import pytest

from agent.learning.conformal import half_widths


def test_the_quantile_is_that_of_one_more_error() -> None:
    errors = np.arange(1.0, 100.0)  # 99 of them: the 90th smallest covers
    assert half_widths([errors], [1.0])[0] == 90.0


def test_intervals_cover_the_next_compounds() -> None:
    random = np.random.default_rng(1)
    width = half_widths([np.abs(random.normal(size=500))], [1.0])[0]
    assert np.mean(np.abs(random.normal(size=20_000)) <= width) == pytest.approx(0.9, abs=0.03)


def test_a_task_of_few_errors_borrows_in_units_of_its_spread() -> None:
    many, few = np.arange(1.0, 100.0), np.array([5.0])
    borrowed = half_widths([many, few], [1.0, 10.0])[1]
    assert borrowed == pytest.approx(10.0 * 90.0)
    assert half_widths([np.zeros(0), many], [2.0, 1.0])[0] == pytest.approx(2.0 * 90.0)


def test_without_any_error_nothing_is_promised() -> None:
    assert half_widths([np.zeros(0)], [1.0])[0] == math.inf
    assert half_widths([], []).shape == (0,)
