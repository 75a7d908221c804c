"""How far a silo may step, and with what weight."""

import numpy as np
import pytest

from agent.errors import Refused
from consortium.aggregate import MAX_MEAN_STEP, MAX_STEP, check_update
from consortium.plans import Draft


def _tensor(value: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.full((2, 3), value, dtype=np.float32)


_RECIPE = Draft(plan_id="p").recipe


@pytest.mark.parametrize("weight", [1e-6, 1.0, 1000.0])
@pytest.mark.parametrize(
    ("name", "near", "far"),
    [
        ("trunk.0.weight", MAX_MEAN_STEP * 0.99, MAX_MEAN_STEP * 1.01),
        ("head.logd.weight", MAX_MEAN_STEP * 0.99, -MAX_MEAN_STEP * 1.01),
        ("head.logd.bias", -MAX_STEP * 0.99, MAX_STEP * 1.01),  # a level, e.g. in percent
    ],
)
def test_how_far_a_silo_may_step_is_the_same_for_every_weight(
    name: str, near: float, far: float, weight: float
) -> None:
    weights = {"trunk": weight, "head.logd": weight}
    check_update({name: _tensor(near * weight)}, weights, _RECIPE)
    with pytest.raises(Refused, match="implausible"):
        check_update({name: _tensor(far * weight)}, weights, _RECIPE)


def test_one_weight_may_not_step_far_in_a_calm_tensor() -> None:
    tensor = np.zeros((100, 100), dtype=np.float32)
    tensor[3, 4] = -MAX_STEP * 1.01
    with pytest.raises(Refused, match="implausible"):
        check_update({"trunk.0.weight": tensor}, {"trunk": 1.0}, _RECIPE)


def test_an_empty_tensor_steps_nowhere() -> None:
    empty = np.zeros((8, 0), dtype=np.float32)
    check_update({"trunk.dense.weight": empty}, {"trunk": 1.0}, _RECIPE)


def test_uniform_weights_are_exactly_one() -> None:
    uniform = _RECIPE.model_copy(update={"weighting": "uniform"})
    check_update({}, {"trunk": 1.0}, uniform)
    for weight in (0.5, 1.0000001, 1000.0):
        with pytest.raises(Refused, match="bad_weight"):
            check_update({}, {"trunk": weight, "head.logd": 1.0}, uniform)
