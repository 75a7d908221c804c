import numpy as np
import pytest

from agent.wire.adaptive import SECOND_DECAY, TAU, adam_step, state_shapes
from consortium.plans import Draft

RECIPE = Draft(plan_id="p").recipe.model_copy(
    update={"optimizer": "adam", "server_momentum": 0.9, "server_rate": 0.1}
)
BASE = {"trunk.w": np.zeros((2,), np.float32), "head.x.weight": np.full((2,), 5.0, np.float32)}


def test_the_step_is_the_papers() -> None:
    delta = {"trunk.w": np.array([0.5, -0.2], np.float32)}
    state: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}
    weights, first, second = dict(BASE), np.zeros(2), np.zeros(2)
    wanted = np.zeros(2)
    for _ in range(3):
        weights, state = adam_step(weights, delta, state, RECIPE)
        first = 0.9 * first + 0.1 * delta["trunk.w"]
        second = SECOND_DECAY * second + (1 - SECOND_DECAY) * delta["trunk.w"] ** 2
        wanted = wanted + 0.1 * first / (np.sqrt(second) + TAU)
    np.testing.assert_allclose(weights["trunk.w"], wanted, rtol=1e-5)
    assert weights["trunk.w"].dtype == np.float32


def test_what_nobody_trained_stays() -> None:
    weights, state = adam_step(BASE, {"trunk.w": np.ones(2, np.float32)}, {}, RECIPE)
    np.testing.assert_array_equal(weights["head.x.weight"], BASE["head.x.weight"])
    shapes = state_shapes({name: value.shape for name, value in BASE.items()})
    assert {name: value.shape for name, value in state.items()} == shapes


@pytest.mark.parametrize("size", [1e-8, 1e4])
def test_a_step_is_never_much_larger_than_its_rate(size: float) -> None:
    weights, _ = adam_step(BASE, {"trunk.w": np.full(2, size, np.float32)}, {}, RECIPE)
    assert 0 < weights["trunk.w"][0] <= 0.1 * 0.1 / (1 - SECOND_DECAY) ** 0.5 + 1e-6
