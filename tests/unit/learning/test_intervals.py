from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from agent.learning.intervals import (
    FEWEST,
    LEVELS,
    Said,
    calibrate,
    covered,
    intervals,
    reliability,
)
from agent.learning.tasks import Labels, TaskSpec

Floats = npt.NDArray[np.float32]
TASKS = (TaskSpec("a", "regression"), TaskSpec("b", "regression", 0.0, 10.0))
CLASS = (TaskSpec("c", "classification"),)


def labels(
    values: Floats, column: int = 0, qualifiers: npt.NDArray[np.int8] | None = None
) -> Labels:
    rows = np.arange(len(values))
    signs = np.zeros(len(values), np.int8) if qualifiers is None else qualifiers
    return Labels(rows, np.full(len(values), column), values.astype(np.float32), signs)


def flat(n: int, tasks: int = 1) -> Said:
    """A model that answers 0 and never doubts."""
    return Said(np.zeros((n, tasks), np.float32), np.zeros((n, tasks), np.float32))


def normal(n: int, seed: int, scale: float = 1.0) -> Floats:
    return np.random.default_rng(seed).normal(0, scale, n).astype(np.float32)


def test_as_many_new_values_lie_inside_as_the_level_says() -> None:
    calibration = calibrate(flat(2_000), labels(normal(2_000, 0)), TASKS[:1])
    fresh = normal(20_000, 1)
    for level in (0.5, 0.75, 0.9, 0.95):
        low, high = intervals(flat(1), calibration, level)
        share = ((fresh >= low[0]) & (fresh <= high[0])).mean()
        assert share == pytest.approx(level, abs=0.025)


def test_the_half_width_is_the_conformal_quantile() -> None:
    # (n + 1) * 0.9 = 90: the 90th smallest of 99 residuals.
    calibration = calibrate(flat(99), labels(np.arange(1, 100).astype(np.float32)), TASKS[:1])
    low, high = intervals(flat(1), calibration)
    assert (low[0, 0], high[0, 0]) == pytest.approx((-90, 90))


def test_a_doubtful_or_distant_compound_has_a_wider_interval() -> None:
    n, random = 1_000, np.random.default_rng(3)
    spread = random.uniform(0.1, 1.0, (n, 1)).astype(np.float32)
    similarity = random.uniform(0.2, 1.0, (n, 1)).astype(np.float32)
    said = Said(np.zeros((n, 1), np.float32), spread)
    calibration = calibrate(said, labels(normal(n, 4)), TASKS[:1], similarity)
    asked = Said(np.zeros((3, 1), np.float32), np.array([[0.1], [1.0], [0.1]], np.float32))
    low, high = intervals(
        asked, calibration, similarity=np.array([[0.9], [0.9], [0.2]], np.float32)
    )
    widths = (high - low)[:, 0]
    assert widths[1] > 1.5 * widths[0]
    assert widths[2] > 1.5 * widths[0]


def test_without_similarities_compounds_count_as_average() -> None:
    n = 200
    similarity = np.full((n, 1), 0.6, np.float32)
    calibration = calibrate(flat(n), labels(normal(n, 5)), TASKS[:1], similarity)
    assert intervals(flat(1), calibration)[1] == pytest.approx(
        intervals(flat(1), calibration, similarity=similarity[:1])[1], rel=1e-5
    )


def test_newer_residuals_weigh_more() -> None:
    values = np.concatenate([normal(300, 6, 0.1), normal(300, 7, 1.0)])
    newer = np.repeat([0.2, 1.0], 300).astype(np.float32)
    alike = calibrate(flat(600), labels(values), TASKS[:1])
    aged = calibrate(flat(600), replace(labels(values), importance=newer), TASKS[:1])
    assert aged.tasks[0].reach[-2] > alike.tasks[0].reach[-2] * 1.05


def test_censored_labels_widen_and_never_narrow() -> None:
    """Of normal residuals those over 1 are known only as "> 1": the median must not move."""
    values = np.abs(normal(4_000, 8))
    cut = values > 1
    signs = np.where(cut, 1, 0).astype(np.int8)
    censored = calibrate(flat(4_000), labels(values.clip(max=1), qualifiers=signs), TASKS[:1])
    exact = calibrate(flat(4_000), labels(values), TASKS[:1])
    median = LEVELS.index(0.5)
    assert censored.tasks[0].reach[median] == pytest.approx(exact.tasks[0].reach[median], rel=0.01)
    # A prediction on the right side of a limit says nothing, and not "no error".
    beyond = np.concatenate([values, np.full(4_000, -5, np.float32)])
    right = np.repeat([0, 1], 4_000).astype(np.int8)
    with_them = calibrate(flat(8_000), labels(beyond, qualifiers=right), TASKS[:1])
    assert with_them.tasks[0].n == 4_000
    assert with_them.tasks[0].reach == pytest.approx(exact.tasks[0].reach)


def test_few_labels_borrow_from_all_tasks_and_say_so() -> None:
    many, few = labels(normal(500, 9)), labels(normal(5, 10, 3.0), column=1)
    both = Labels(*(np.concatenate([getattr(many, k), getattr(few, k)]) for k in
                    ("rows", "cols", "values", "qualifiers")))  # fmt: skip
    own, pooled = calibrate(flat(500, 2), both, TASKS).tasks
    assert (own.pooled, pooled.pooled, pooled.n) == (False, True, 5)
    # In units of a spread of 10, and at least what its own residuals ask for.
    assert pooled.reach[-1] >= max(9 * own.reach[-1], float(np.abs(few.values).max()))
    assert calibrate(flat(500, 2), many, TASKS).tasks[1].reach == pytest.approx(
        [10 * reach for reach in own.reach]
    )


def test_a_class_has_no_interval_and_nothing_measured_neither() -> None:
    calibration = calibrate(flat(50), labels(np.ones(50, np.float32)), CLASS)
    assert np.isnan(intervals(flat(2), calibration)).all()
    nothing = labels(np.zeros(0, np.float32))
    assert np.isnan(intervals(flat(2), calibrate(flat(2), nothing, TASKS[:1]))).all()


def test_a_level_that_was_not_calibrated_is_no_level() -> None:
    calibration = calibrate(flat(50), labels(normal(50, 1)), TASKS[:1])
    with pytest.raises(ValueError, match="calibrated"):
        intervals(flat(1), calibration, 0.99)


def test_a_censored_value_is_covered_if_it_may_be() -> None:
    low, high = np.full(4, 1.0), np.full(4, 2.0)
    values, signs = np.array([1.5, 3.0, 3.0, 0.0]), np.array([0, 0, -1, 1], np.int8)
    assert covered(low, high, values, signs).tolist() == [True, False, True, True]


def test_reliability_shows_a_shift_between_older_and_newer_labels() -> None:
    n = 600
    age = np.linspace(0.3, 1.0, n).astype(np.float32)
    steady = replace(labels(normal(n, 11)), importance=age)
    drifting = replace(labels(normal(n, 12) * np.where(np.arange(n) < 400, 1, 3)), importance=age)
    at_90 = LEVELS.index(0.9)
    assert reliability(flat(n), steady, TASKS[:1])["a"][at_90] == pytest.approx(0.9, abs=0.05)
    assert reliability(flat(n), drifting, TASKS[:1])["a"][at_90] < 0.6


def test_reliability_of_few_labels_is_not_told() -> None:
    few = labels(normal(3 * FEWEST - 1, 13))
    assert reliability(flat(len(few)), few, TASKS[:1]) == {}
