"""Averages that a few liars cannot own."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Refused
from agent.wire.recipe import Aggregation, Recipe
from agent.wire.robust import LEAST, Given, check_visible, combine
from consortium.plans import Draft

_RULES: tuple[Aggregation, ...] = ("median", "trimmed_mean", "krum")
_HONEST = np.random.default_rng(7).normal(0.0, 0.01, (6, 4, 5)).astype(np.float32)


def _update(delta: npt.NDArray[np.float32], weight: float = 2.0) -> Given:
    return {"trunk.a": delta * np.float32(weight)}, {"trunk": weight}


def _recipe(rule: Aggregation) -> Recipe:
    return Draft(plan_id="p").recipe.model_copy(update={"aggregate": rule})


@pytest.mark.parametrize("rule", _RULES)
def test_one_liar_does_not_leave_the_honest_ones_range(rule: Aggregation) -> None:
    liar = np.full((4, 5), -50.0, dtype=np.float32)
    found = combine([*(_update(one) for one in _HONEST), _update(liar, 1000.0)], rule)
    assert np.all(found["trunk.a"] >= _HONEST.min(axis=0) - 1e-6)
    assert np.all(found["trunk.a"] <= _HONEST.max(axis=0) + 1e-6)


@given(st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=9))
def test_the_median_and_the_trimmed_mean_are_those_of_numpy(values: list[float]) -> None:
    updates = [_update(np.full((2,), value, np.float32)) for value in values]
    np.testing.assert_allclose(
        combine(updates, "median")["trunk.a"], np.median(values), rtol=1e-5, atol=1e-5
    )
    cut = max(1, len(values) // 5)
    kept = sorted(values)[cut : len(values) - cut]
    np.testing.assert_allclose(
        combine(updates, "trimmed_mean")["trunk.a"], np.mean(kept), rtol=1e-5, atol=1e-5
    )


def test_a_tensor_that_is_sorted_in_pieces_is_that_of_one_piece() -> None:
    chance = np.random.default_rng(1)
    deltas = [chance.normal(size=(3, 50_000)).astype(np.float32) for _ in range(3)]
    found = combine([_update(one) for one in deltas], "median")["trunk.a"]
    np.testing.assert_allclose(found, np.median(np.stack(deltas), axis=0), rtol=1e-5)


def test_krum_returns_one_silos_delta() -> None:
    found = combine([_update(one, 3.0) for one in _HONEST], "krum")["trunk.a"]
    assert any(np.allclose(found, one, rtol=1e-5) for one in _HONEST)


@pytest.mark.parametrize("rule", _RULES)
def test_a_group_of_too_few_stays_as_it_is(rule: Aggregation) -> None:
    updates = [_update(one) for one in _HONEST[: LEAST[rule]]]
    updates[0][0]["head.x.bias"] = np.ones(1, np.float32)
    alone = (updates[0][0], {**updates[0][1], "head.x": 1.0})
    assert combine([alone, *updates[1:]], rule).keys() == {"trunk.a"}
    assert combine(updates[1:], rule) == {}


def test_masks_leave_the_mean_only() -> None:
    for rule in _RULES:
        check_visible(_recipe(rule), masked=False)
        with pytest.raises(Refused, match="not_a_sum"):
            check_visible(_recipe(rule), masked=True)
    check_visible(_recipe("mean"), masked=True)
