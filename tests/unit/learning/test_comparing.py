import math

import numpy as np
import pytest

from agent.learning.comparing import Figure, Interval, bootstrap, paired

_RANDOM = np.random.default_rng(5)
_ERRORS = _RANDOM.exponential(size=400)


def _mean(values: np.ndarray) -> Figure:
    return lambda taken: float(values[taken].mean())


def test_the_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    found = bootstrap(_mean(_ERRORS), len(_ERRORS))
    deviation = _ERRORS.std() / math.sqrt(len(_ERRORS))
    assert found.value == pytest.approx(_ERRORS.mean())
    assert found.low == pytest.approx(_ERRORS.mean() - 1.96 * deviation, abs=0.25 * deviation)
    assert found.high == pytest.approx(_ERRORS.mean() + 1.96 * deviation, abs=0.25 * deviation)


def test_equal_arguments_give_equal_figures() -> None:
    assert bootstrap(_mean(_ERRORS), 400) == bootstrap(_mean(_ERRORS), 400)
    assert bootstrap(_mean(_ERRORS), 400) != bootstrap(_mean(_ERRORS), 400, seed=1)


def test_what_belongs_together_is_drawn_together() -> None:
    # Each compound measured in ten tasks: the interval must be that of 40 compounds, not of 400.
    values = np.repeat(_RANDOM.normal(size=40), 10)
    groups = np.repeat(np.arange(40), 10)
    alone = bootstrap(_mean(values), 400)
    grouped = bootstrap(_mean(values), 400, groups=groups)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_pairs_see_a_difference_that_two_intervals_hide() -> None:
    worse = _ERRORS + 0.02 + 0.01 * _RANDOM.normal(size=400)
    apart = bootstrap(_mean(_ERRORS), 400)
    assert apart.high > worse.mean()
    found = paired([_mean(worse)], [_mean(_ERRORS)], 400)
    assert found.excludes_zero
    assert found.value == pytest.approx(worse.mean() - _ERRORS.mean())


def test_seeds_that_disagree_widen_the_interval() -> None:
    shifts = (-0.2, 0.0, 0.2)
    steady = paired([_mean(_ERRORS - 0.05)] * 3, [_mean(_ERRORS)] * 3, 400)
    shaky = paired([_mean(_ERRORS - 0.05 + s) for s in shifts], [_mean(_ERRORS)] * 3, 400)
    assert steady.excludes_zero
    assert not shaky.excludes_zero
    assert steady.value == pytest.approx(shaky.value)


def test_seeds_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="same seeds"):
        paired([_mean(_ERRORS)], [], 400)


def test_what_is_not_defined_has_no_interval() -> None:
    assert math.isnan(bootstrap(lambda _: math.nan, 5, resamples=3).low)
    nothing = bootstrap(_mean(_ERRORS), 0)
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.high)
    assert not Interval(0.1, -1.0, 1.0).excludes_zero


def test_a_resample_without_a_figure_is_drawn_again() -> None:
    def one_class_only(taken: np.ndarray) -> float:
        return math.nan if len(set(taken.tolist())) < 2 else 1.0

    assert bootstrap(one_class_only, 2) == Interval(1.0, 1.0, 1.0)
