import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.learning import metrics

_SIDES = np.array([0, -1, -1, 1, 1], np.int8)
_MEASURED = np.array([1.0, 1.0, 1.0, 1.0, 1.0])
_PREDICTED = np.array([4.0, 0.0, 3.0, 2.0, -1.0])


def test_a_qualified_value_counts_only_where_it_contradicts() -> None:
    found = metrics.residuals(_PREDICTED, _MEASURED, _SIDES)
    assert found.tolist() == [3.0, 0.0, 2.0, 0.0, -2.0]
    assert metrics.mae(_PREDICTED, _MEASURED, _SIDES) == pytest.approx(7 / 5)
    assert metrics.rmse(_PREDICTED, _MEASURED, _SIDES) == pytest.approx(math.sqrt(17 / 5))


def test_r2_is_one_for_truth_and_zero_for_the_mean() -> None:
    measured = np.array([1.0, 2.0, 6.0])
    assert metrics.r2(measured, measured) == 1.0
    assert metrics.r2(np.full(3, 3.0), measured) == 0.0
    assert metrics.r2(np.array([6.0, 2.0, 1.0]), measured) < 0


def test_spearman_by_hand_with_ties() -> None:
    # scipy.stats.spearmanr([1, 2, 2, 4], [1, 3, 2, 4]) gives the same
    found = metrics.spearman(np.array([1.0, 2, 2, 4]), np.array([1.0, 3, 2, 4]))
    assert found == pytest.approx(0.9486832980505138)


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=30, unique=True))
def test_spearman_sees_only_the_order(values: list[int]) -> None:
    numbers = np.array(values, dtype=float)
    assert metrics.spearman(np.exp(numbers), numbers) == pytest.approx(1.0)
    assert metrics.spearman(-numbers, numbers) == pytest.approx(-1.0)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30).filter(
        lambda pairs: len({positive for _, positive in pairs}) == 2
    )
)
def test_auroc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    above = [score for score, positive in pairs if positive]
    below = [score for score, positive in pairs if not positive]
    wins = sum((a > b) + 0.5 * (a == b) for a in above for b in below)
    found = metrics.auroc(
        np.array([score for score, _ in pairs], float), np.array([p for _, p in pairs], float)
    )
    assert found == pytest.approx(wins / (len(above) * len(below)))


def test_what_is_not_defined_is_nan() -> None:
    one, none, sides = np.array([1.0]), np.zeros(0), np.zeros(0, np.int8)
    assert math.isnan(metrics.mae(none, none, sides))
    assert math.isnan(metrics.rmse(none, none, sides))
    assert math.isnan(metrics.r2(one, one))
    assert math.isnan(metrics.r2(np.array([1.0, 2.0]), np.ones(2)))
    assert math.isnan(metrics.spearman(np.array([1.0, 2.0]), np.ones(2)))
    assert math.isnan(metrics.auroc(np.array([1.0, 2.0]), np.ones(2)))


_PAIRS = st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=30).filter(
    lambda pairs: len({measured for _, measured in pairs}) > 1
)


@given(_PAIRS)
def test_rae_is_one_for_the_mean_and_nothing_for_the_truth(
    pairs: list[tuple[float, float]],
) -> None:
    said, measured = (np.array(column) for column in zip(*pairs, strict=True))
    off = np.abs(measured - measured.mean()).mean()
    if off < 1e-9:
        return
    assert metrics.rae(said, measured) == pytest.approx(np.abs(said - measured).mean() / off)
    assert metrics.rae(measured, measured) == 0.0
    mean = np.full(len(measured), measured.mean())
    assert metrics.rae(mean, measured) == pytest.approx(1.0)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30).filter(
        lambda pairs: any(positive for _, positive in pairs)
    )
)
def test_auprc_is_the_step_sum_over_thresholds(pairs: list[tuple[int, bool]]) -> None:
    # sklearn.metrics.average_precision_score, written out
    positives = sum(positive for _, positive in pairs)
    area, recalled = 0.0, 0.0
    for threshold in sorted({score for score, _ in pairs}, reverse=True):
        above = [positive for score, positive in pairs if score >= threshold]
        area += (sum(above) / positives - recalled) * sum(above) / len(above)
        recalled = sum(above) / positives
    found = metrics.auprc(
        np.array([score for score, _ in pairs], float), np.array([p for _, p in pairs], float)
    )
    assert found == pytest.approx(area)


def test_coverage_counts_the_ends() -> None:
    low, high = np.array([0.0, 0.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0])
    assert metrics.coverage(low, high, np.array([0.0, 1.0, 1.1, -0.1])) == 0.5


def test_new_figures_that_do_not_exist_are_nan() -> None:
    none, same = np.zeros(0), np.ones(3)
    assert math.isnan(metrics.rae(none, none))
    assert math.isnan(metrics.rae(same, same))
    assert math.isnan(metrics.auprc(same, np.zeros(3)))
    assert math.isnan(metrics.coverage(none, none, none))
