"""The places of a vector: the same for all who know the same groups."""

from itertools import pairwise

import numpy as np
import pytest

from agent.wire.masking.layout import Layout, Update
from agent.wire.masking.quantize import Rounding
from tests.kit.masking import GROUPS, RULES, SHAPES, update


def layout(groups: tuple[str, ...] = GROUPS) -> Layout:
    return Layout.of(SHAPES, groups, RULES, 24, 4.0)


def test_what_was_written_is_read_again() -> None:
    mine = update("silo-00")
    vector, cut = layout().write(mine, GROUPS, Rounding())
    sums = layout().read(vector)
    assert cut == 0
    for name, tensor in mine.products.items():
        assert np.allclose(sums.products[name], tensor, atol=5e-6)
    mean = sums.mean()
    for name, tensor in mine.products.items():
        assert np.allclose(mean[name], tensor / 2.0, atol=5e-6)


def test_groups_that_are_not_ones_own_are_zeros() -> None:
    vector, _ = layout().write(update("silo-00", ("trunk",)), ("trunk",), Rounding())
    sums = layout().read(vector)
    assert set(sums.weights) == {"trunk"}
    assert all(name.startswith("trunk.") for name in sums.products)


def test_places_follow_from_the_groups_alone_and_join() -> None:
    fields = [*layout().tensors, *layout().weights]
    assert fields[0].start == 0
    assert all(a.end == b.start for a, b in pairwise(fields))
    assert layout().words == sum(int(np.prod(shape)) for shape in SHAPES.values()) + len(GROUPS)
    assert layout(GROUPS[::-1]) == layout()
    assert layout(()).words == 0


def test_a_heads_bias_has_a_clip_of_its_own() -> None:
    limits = {field.name: field.limit for field in layout().tensors}
    assert limits["head.logbb.bias"] == 40.0
    assert limits["trunk.dense.bias"] == limits["head.logbb.weight"] == 2.0


@pytest.mark.parametrize("weight", [0.5, 4.0, 9.0])
def test_what_is_beyond_the_clip_is_cut_and_counted(weight: float) -> None:
    products = {name: np.full(shape, 3.0, np.float32) for name, shape in SHAPES.items()}
    vector, cut = layout().write(
        Update(products, dict.fromkeys(GROUPS, weight)), GROUPS, Rounding()
    )
    biases = sum(name.startswith("head.") and name.endswith("bias") for name in SHAPES)
    numbers = layout().words - len(GROUPS) - biases
    assert cut == numbers + (len(GROUPS) if weight > 4.0 else 0)
    assert layout().read(vector).products["trunk.dense.bias"] == pytest.approx(2.0)
