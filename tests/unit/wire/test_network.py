import hashlib

import numpy as np
import pytest

from agent.errors import Refused
from agent.wire.documents import FeatureSpec, NetworkSpec, Scaling
from agent.wire.network import (
    Weights,
    check_magnitudes,
    check_weights,
    expected_shapes,
    initial_weights,
)
from agent.wire.update import Array

_FEATURES = FeatureSpec(
    version="onggi-fast-1",
    radius=2,
    hash_size=256,
    descriptors=tuple(Scaling(name=name, centre=0.0, spread=1.0) for name in ("a", "b", "c")),
    clip=5.0,
)
_NETWORK = NetworkSpec(hidden=(16, 8), dropout=0.1, seed=7)
_HEADS = ("logd", "private:x.y")


def _weights() -> Weights:
    return initial_weights(_NETWORK, _FEATURES, _HEADS)


def test_names_and_shapes_are_the_contract() -> None:
    assert expected_shapes(_NETWORK, _FEATURES, _HEADS) == {
        "trunk.counts.weight": (256, 16),
        "trunk.dense.weight": (16, 3),
        "trunk.dense.bias": (16,),
        "trunk.0.norm.weight": (16,),
        "trunk.0.norm.bias": (16,),
        "trunk.1.linear.weight": (8, 16),
        "trunk.1.linear.bias": (8,),
        "trunk.1.norm.weight": (8,),
        "trunk.1.norm.bias": (8,),
        "head.logd.weight": (1, 8),
        "head.logd.bias": (1,),
        "head.private:x.y.weight": (1, 8),
        "head.private:x.y.bias": (1,),
    }


def test_the_first_weights_are_checked_weights() -> None:
    check_weights(_weights(), _NETWORK, _FEATURES, _HEADS)


def test_the_first_weights_are_the_same_on_every_machine() -> None:
    weights = _weights()
    digest = hashlib.sha256(b"".join(weights[name].tobytes() for name in sorted(weights)))
    assert digest.hexdigest() == "3a9275c31b17c45f29d6af8d08b0fd63f244d03f848069aeeb8b814a81ae974d"


def test_other_heads_leave_the_trunk_and_the_shared_heads_alone() -> None:
    ours, theirs = _weights(), initial_weights(_NETWORK, _FEATURES, ("ksol", "logd"))
    common = set(ours) & set(theirs)
    assert "head.logd.weight" in common
    assert all(np.array_equal(ours[name], theirs[name]) for name in common)


def test_another_seed_and_another_name_give_other_numbers() -> None:
    other = initial_weights(_NETWORK.model_copy(update={"seed": 8}), _FEATURES, _HEADS)
    assert not np.array_equal(other["trunk.counts.weight"], _weights()["trunk.counts.weight"])
    first, second = (_weights()[f"head.{task}.weight"] for task in _HEADS)
    assert not np.array_equal(first, second)


def test_weights_are_spread_by_their_fan_in() -> None:
    weights = _weights()
    assert weights["trunk.counts.weight"].std() == pytest.approx(0.05, rel=0.05)
    assert weights["trunk.counts.weight"].mean() == pytest.approx(0.0, abs=0.01)
    assert abs(weights["trunk.1.linear.weight"]).max() <= (3 / 16) ** 0.5
    assert not weights["trunk.1.linear.bias"].any()
    assert (weights["trunk.0.norm.weight"] == 1).all()


def test_a_task_that_is_called_like_a_norm_is_still_a_head() -> None:
    weights = initial_weights(_NETWORK, _FEATURES, ("x.norm",))
    assert not (weights["head.x.norm.weight"] == 1).any()


def test_a_spec_without_descriptors_has_an_empty_dense_layer() -> None:
    bare = _FEATURES.model_copy(update={"descriptors": ()})
    assert initial_weights(_NETWORK, bare, _HEADS)["trunk.dense.weight"].shape == (16, 0)


@pytest.mark.parametrize(
    ("name", "tensor", "code"),
    [
        ("head.logd.bias", np.zeros(2, np.float32), "wrong_tensors"),
        ("head.logd.bias", np.zeros((1, 1), np.float32), "wrong_tensors"),
        ("head.logd.bias", np.zeros(1, np.float64), "wrong_tensors"),
        ("trunk.0.norm.bias", np.full(16, np.nan, np.float32), "not_finite"),
        ("trunk.0.norm.bias", np.full(16, -np.inf, np.float32), "not_finite"),
        ("head.unheard.bias", np.zeros(1, np.float32), "wrong_tensors"),
    ],
)
def test_wrong_weights_are_refused(
    name: str, tensor: np.ndarray[tuple[int, ...], np.dtype[np.float32]], code: str
) -> None:
    with pytest.raises(Refused) as caught:
        check_weights({**_weights(), name: tensor}, _NETWORK, _FEATURES, _HEADS)
    assert caught.value.code == code
    assert repr(name) in caught.value.reason


def test_a_missing_tensor_is_refused_by_name() -> None:
    weights = _weights()
    del weights["trunk.dense.bias"]
    with pytest.raises(Refused, match=r"lack tensor 'trunk\.dense\.bias'"):
        check_weights(weights, _NETWORK, _FEATURES, _HEADS)


def test_a_network_that_cannot_be_is_refused() -> None:
    with pytest.raises(Refused, match="no_hidden_layer"):
        expected_shapes(_NETWORK.model_copy(update={"hidden": ()}), _FEATURES, _HEADS)
    with pytest.raises(Refused, match="duplicate_head"):
        expected_shapes(_NETWORK, _FEATURES, ("logd", "logd"))


@pytest.mark.parametrize(
    ("tensor", "sane"),
    [
        (np.zeros(0, np.float32), True),
        (np.full(4, 99.0, np.float32), True),
        (np.full(4, 101.0, np.float32), False),
        (np.array([9.9e3] + [0.0] * 10_000, np.float32), True),
        (np.array([1.1e4] + [0.0] * 100_000, np.float32), False),
        (np.array([-3e38], np.float32), False),
    ],
)
def test_absurdly_large_weights_are_refused(tensor: Array, sane: bool) -> None:
    if sane:
        check_magnitudes({"x": tensor})
        return
    with pytest.raises(Refused, match="absurd_weights"):
        check_magnitudes({"x": tensor})
