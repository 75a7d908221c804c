"""The arithmetic of a round, against the definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.averaging import Sums, step

_UPDATES = st.lists(
    st.tuples(
        st.floats(-10, 10, width=32), st.floats(0.125, 100, width=32), st.booleans(), st.booleans()
    ),
    min_size=1,
    max_size=6,
)


def _tensor(value: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.full((2, 3), value, dtype=np.float32)


@given(_UPDATES)
def test_each_group_is_averaged_over_those_who_trained_it(
    updates: list[tuple[float, float, bool, bool]],
) -> None:
    sums = Sums()
    for value, weight, trunk, head in updates:
        groups = {"trunk": trunk, "head.x": head}
        names = {"trunk": "trunk.0.weight", "head.x": "head.x.weight"}
        given_groups = [group for group, there in groups.items() if there]
        sums.add(
            {names[group]: _tensor(value) * np.float32(weight) for group in given_groups},
            dict.fromkeys(given_groups, weight),
        )
    mean = sums.mean()
    for name, position in (("trunk.0.weight", 2), ("head.x.weight", 3)):
        took_part = [(one[0], one[1]) for one in updates if one[position]]
        assert (name in mean) == bool(took_part)
        if took_part:
            wanted = np.average(
                [value for value, _ in took_part], weights=[weight for _, weight in took_part]
            )
            np.testing.assert_allclose(mean[name], wanted, rtol=1e-5, atol=1e-5)


def test_the_sum_is_float64() -> None:
    sums = Sums()
    for value in (1e8, 1.0, -1e8):
        sums.add({"trunk.w": _tensor(value)}, {"trunk": 1.0})
    np.testing.assert_allclose(sums.mean()["trunk.w"], 1 / 3, rtol=1e-6)


def test_momentum_is_the_running_sum_of_deltas() -> None:
    base = {"trunk.w": _tensor(0.0), "head.x.weight": _tensor(5.0)}
    weights, momentum = step(base, {"trunk.w": _tensor(1.0)}, {}, 0.9)
    weights, momentum = step(weights, {"trunk.w": _tensor(1.0)}, momentum, 0.9)
    np.testing.assert_allclose(weights["trunk.w"], 1.0 + 1.9)
    np.testing.assert_allclose(momentum["trunk.w"], 1.9)
    np.testing.assert_array_equal(weights["head.x.weight"], base["head.x.weight"])
    np.testing.assert_array_equal(momentum["head.x.weight"], 0.0)
    np.testing.assert_array_equal(base["trunk.w"], 0.0)


def test_without_momentum_the_base_moves_by_the_mean() -> None:
    weights, _ = step({"trunk.w": _tensor(1.0)}, {"trunk.w": _tensor(0.5)}, {}, 0.0)
    np.testing.assert_array_equal(weights["trunk.w"], 1.5)
