import numpy as np
import pytest

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.releases.verify import check_weights
from agent.wire.documents import (
    FeatureSpec,
    NetworkSpec,
    Plan,
    Privacy,
    ReleaseManifest,
    Scaling,
)
from agent.wire.network import initial_weights
from agent.wire.update import Weights, encode
from tests.kit.recipes import recipe

HASH = "0" * 64
MOMENT = "2026-01-02T03:04:05Z"
PLAN = Plan(
    consortium="demo",
    plan_id="p1",
    version=1,
    catalogue_sha256=HASH,
    endpoints=("logd", "ames"),
    features=FeatureSpec(
        version="onggi-fast-1",
        radius=2,
        hash_size=256,
        descriptors=(Scaling(name="tpsa", centre=72.0, spread=32.0),),
        clip=5.0,
    ),
    reference_sha256=HASH,
    network=NetworkSpec(hidden=(16, 8), dropout=0.1, seed=1),
    recipe=recipe(rounds=1, learning_rate=0.1, weighting="uniform"),
    privacy=Privacy(),
    participants=("a",),
    quorum=1,
    round_deadline_s=60.0,
    fold_key=HASH,
    not_before=MOMENT,
    expires=MOMENT,
)


def _weights(heads: tuple[str, ...] = ("logd", "ames")) -> Weights:
    return initial_weights(PLAN.network, PLAN.features, heads)


def _manifest(content: bytes, heads: tuple[str, ...] = ("logd", "ames")) -> ReleaseManifest:
    return ReleaseManifest(
        consortium="demo",
        release_id="r1",
        version=1,
        plan_id="p1",
        plan_sha256=HASH,
        round_id="round-1",
        weights_sha256=sha256_bytes(content),
        weights_bytes=len(content),
        heads=heads,
        contributors=3,
        created=MOMENT,
        expires=MOMENT,
    )


def test_weights_that_fit_are_taken() -> None:
    content = encode(_weights())
    taken = check_weights(content, _manifest(content), PLAN)
    assert taken.keys() == _weights().keys()
    np.testing.assert_array_equal(taken["head.logd.weight"], _weights()["head.logd.weight"])


def test_a_release_may_have_fewer_heads_than_its_plan() -> None:
    content = encode(_weights(("ames",)))
    assert "head.logd.weight" not in check_weights(content, _manifest(content, ("ames",)), PLAN)


def test_other_bytes_are_refused() -> None:
    content = encode(_weights())
    with pytest.raises(Refused, match="wrong_size"):
        check_weights(content + b" ", _manifest(content), PLAN)


@pytest.mark.parametrize(
    ("heads", "code"),
    [
        (("logd", "private:x"), "wrong_heads"),
        (("logd", "logd"), "duplicate_head"),
        (("logd",), "wrong_tensors"),
    ],
)
def test_heads_that_do_not_fit_are_refused(heads: tuple[str, ...], code: str) -> None:
    content = encode(_weights())
    with pytest.raises(Refused, match=code):
        check_weights(content, _manifest(content, heads), PLAN)


def test_a_tensor_of_another_shape_or_with_nan_is_refused() -> None:
    weights = _weights()
    weights["head.logd.bias"] = np.zeros(2, np.float32)
    content = encode(weights)
    with pytest.raises(Refused, match="wrong_tensors"):
        check_weights(content, _manifest(content), PLAN)
    weights["head.logd.bias"] = np.full(1, np.nan, np.float32)
    content = encode(weights)
    with pytest.raises(Refused, match="not_finite"):
        check_weights(content, _manifest(content), PLAN)


def test_what_is_no_safetensors_file_is_refused() -> None:
    with pytest.raises(Refused, match="bad_tensors"):
        check_weights(b"no tensors", _manifest(b"no tensors"), PLAN)


@pytest.mark.parametrize("value", [1.1e4, -3e38])
def test_an_absurdly_large_number_is_refused(value: float) -> None:
    weights = _weights()
    weights["trunk.counts.weight"][3, 3] = value
    content = encode(weights)
    with pytest.raises(Refused, match="absurd_weights"):
        check_weights(content, _manifest(content), PLAN)


def test_a_tensor_that_is_large_all_over_is_refused() -> None:
    weights = _weights()
    weights["head.logd.weight"] = np.full_like(weights["head.logd.weight"], 101.0)
    content = encode(weights)
    with pytest.raises(Refused, match="absurd_weights"):
        check_weights(content, _manifest(content), PLAN)
