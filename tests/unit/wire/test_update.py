"""Weights and updates: what was packed comes out, and nothing else does."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from agent.errors import Refused
from agent.wire import update
from agent.wire.documents import Recipe
from agent.wire.update import Weights

_SHAPES = {
    "trunk.0.weight": (4, 3),
    "trunk.0.bias": (4,),
    "head.bbb.weight": (1, 4),
    "head.bbb.bias": (1,),
    "head.bbb_class.weight": (1, 4),
    "head.bbb_class.bias": (1,),
}


def _weights(seed: int = 0) -> Weights:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=shape).astype(np.float32) for name, shape in sorted(_SHAPES.items())
    }


def _code(content: bytes) -> str:
    with pytest.raises(Refused) as caught:
        update.unpack(content, _SHAPES)
    return caught.value.code


def test_group_of_a_tensor() -> None:
    assert update.group_of("trunk.0.weight") == "trunk"
    assert update.group_of("head.a.b.bias") == "head.a.b"


def test_equal_weights_give_equal_bytes_and_read_back() -> None:
    weights = _weights()
    backwards = dict(reversed(weights.items()))
    assert update.encode(weights) == update.encode(backwards)
    for name, tensor in update.decode(update.encode(weights), _SHAPES).items():
        np.testing.assert_array_equal(tensor, weights[name])


@pytest.mark.parametrize(
    "groups", [{"trunk"}, {"trunk", "head.bbb_class"}, {"head.bbb"}, {"trunk", "head.bbb"}]
)
def test_whole_groups_may_be_missing_even_when_names_begin_alike(groups: set[str]) -> None:
    delta = _weights()
    products, weight = update.unpack(update.pack(delta, dict.fromkeys(groups, 2.0)), _SHAPES)
    assert weight == dict.fromkeys(groups, 2.0)
    assert products.keys() == {name for name in _SHAPES if update.group_of(name) in groups}
    for name, product in products.items():
        np.testing.assert_array_equal(product, delta[name] * 2)


def test_nothing_given_is_an_empty_update() -> None:
    assert update.unpack(update.pack(_weights(), {}), _SHAPES) == ({}, {})


@given(st.floats(1, 1e6), st.floats(1e-3, 1e12))
def test_a_silo_packs_no_more_than_the_cap_and_that_is_taken(cap: float, weight: float) -> None:
    delta = {"trunk.0.bias": np.full(4, 0.5, np.float32)}
    packed = update.pack(delta, {"trunk": weight}, cap)
    products, taken = update.unpack(packed, {"trunk.0.bias": (4,)}, cap)
    assert taken["trunk"] == float(np.float32(min(weight, cap)))
    np.testing.assert_allclose(products["trunk.0.bias"], taken["trunk"] / 2, rtol=1e-6)
    if weight > cap * 1.001:
        with pytest.raises(Refused, match="bad_weight"):
            update.unpack(
                update.pack(delta, {"trunk": weight}, weight), {"trunk.0.bias": (4,)}, cap
            )


def test_the_default_cap_is_the_recipes() -> None:
    assert Recipe.model_fields["weight_cap"].default == update.DEFAULT_CAP


def _with(**changes: object) -> bytes:
    tensors = {f"delta/{name}": tensor for name, tensor in _weights().items()}
    for group in ("trunk", "head.bbb", "head.bbb_class"):
        tensors[f"weight/{group}"] = np.ones(1, dtype=np.float32)
    for name, value in changes.items():
        key = name.replace("__", "/").replace("_dot_", ".")
        if value is None:
            del tensors[key]
        else:
            tensors[key] = np.asarray(value)
    content: bytes = save(tensors)
    return content


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "bad_tensors"),
        (b"\xff" * 64, "bad_tensors"),
        (_with()[:-1], "bad_tensors"),
        (_with(delta__trunk_dot_0_dot_bias=None), "wrong_tensors"),
        (_with(weight__trunk=None), "wrong_tensors"),
        (_with(delta__head_dot_private=np.ones(1, np.float32)), "wrong_tensors"),
        (_with(delta__trunk_dot_0_dot_bias=np.ones(5, np.float32)), "wrong_tensors"),
        (_with(delta__trunk_dot_0_dot_bias=np.ones(4)), "wrong_tensors"),
        (_with(delta__trunk_dot_0_dot_bias=np.full(4, np.nan, np.float32)), "not_finite"),
        (_with(weight__trunk=np.full(1, np.inf, np.float32)), "not_finite"),
        (_with(weight__trunk=np.zeros(1, np.float32)), "bad_weight"),
        (_with(weight__trunk=np.full(1, -1, np.float32)), "bad_weight"),
        (_with(weight__trunk=np.full(1, 1000.01, np.float32)), "bad_weight"),
    ],
)
def test_refusals_by_name(content: bytes, code: str) -> None:
    assert _code(content) == code


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "BOOL", "F99"])
def test_strange_types_are_refused(dtype: str) -> None:
    header = {"trunk.0.bias": {"dtype": dtype, "shape": [4], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    content = struct.pack("<Q", len(text)) + text + bytes(8)
    with pytest.raises(Refused):
        update.decode(content, {"trunk.0.bias": (4,)})


@settings(max_examples=300)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_altered_byte_is_read_or_refused(place: int, change: int) -> None:
    content = bytearray(update.pack(_weights(), {"trunk": 1.0, "head.bbb": 3.0}))
    content[place % len(content)] ^= change
    try:
        products, weight = update.unpack(bytes(content), _SHAPES)
    except Refused:
        return
    assert all(np.isfinite(product).all() for product in products.values())
    assert all(0 < value <= update.DEFAULT_CAP for value in weight.values())
    assert all(product.shape == _SHAPES[name] for name, product in products.items())


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(Refused):
        update.decode(content, _SHAPES)


def test_other_numbers_than_float32_are_written_too() -> None:
    """A silo's own moments count their steps in integers."""
    content = update.encode({"steps": np.asarray([3], dtype=np.int64)})
    assert update.decode_some(content)["steps"].tolist() == [3]
