import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assays import endpoints
from agent.releases.card import Transform
from agent.serving.native import native_interval, natives, rounded, rounded_all, to_native
from agent.wire.documents import Endpoint


@pytest.mark.parametrize(
    ("model_value", "transform", "native"),
    [
        (-1.5, "identity", -1.5),
        (2.0, "log10", 100.0),
        (6.0, "neg_log10_molar", 1.0),
        (4.0, "neg_log10_molar", 100.0),
        (9.0, "neg_log10_molar", 0.001),
        (1.0, "log10_plus_1", 9.0),
        (-3.0, "log10_plus_1", 0.0),
    ],
)
def test_known_values(model_value: float, transform: Transform, native: float) -> None:
    assert to_native(model_value, transform) == pytest.approx(native)


@given(
    st.floats(1e-6, 1e6), st.sampled_from(["identity", "log10", "neg_log10_molar", "log10_plus_1"])
)
def test_what_curation_transforms_comes_back(native: float, transform: Transform) -> None:
    endpoint = Endpoint(id="x", name="x", group="A", kind="regression", transform=transform)
    model_value = endpoints.transform(native, endpoint)
    assert to_native(model_value, transform) == pytest.approx(native, rel=1e-6, abs=1e-9)


def test_what_no_float_can_hold_is_infinite() -> None:
    assert to_native(1e6, "log10") == math.inf
    assert to_native(-1e6, "neg_log10_molar") == math.inf


def test_five_significant_digits_are_kept() -> None:
    assert (rounded(123456.7), rounded(-0.000123456), rounded(0.0)) == (123460.0, -0.00012346, 0.0)


def test_zero_has_no_sign() -> None:
    assert str(rounded(-0.0)) == "0.0"


@pytest.mark.parametrize(
    ("low", "high", "transform", "native"),
    [
        (0.0, 2.0, "log10", (1.0, 100.0)),
        (4.0, 6.0, "neg_log10_molar", (1.0, 100.0)),
        (-1.0, 1.0, "log10_plus_1", (0.0, 9.0)),
        (0.0, 400.0, "log10", None),
    ],
)
def test_an_interval_begins_with_its_lower_end(
    low: float, high: float, transform: Transform, native: tuple[float, float] | None
) -> None:
    assert native_interval(low, high, transform) == native


@given(st.lists(st.floats(-12, 12, width=32), min_size=1, max_size=20))
def test_columns_are_turned_as_single_values_are(values: list[float]) -> None:
    turned: list[Transform] = ["identity", "log10", "neg_log10_molar", "log10_plus_1"]
    column = np.array(values, np.float32)
    found = natives(np.stack([column] * 4, axis=1), turned)
    for at, transform in enumerate(turned):
        one_by_one = [to_native(value, transform) for value in column.tolist()]
        assert found[:, at].tolist() == pytest.approx(one_by_one, rel=1e-13)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
def test_many_are_rounded_like_one(values: list[float]) -> None:
    found = rounded_all(np.array(values, np.float64)).tolist()
    for value, one in zip(values, found, strict=True):
        nearest = rounded(value)
        assert one == nearest or abs(one - value) == pytest.approx(abs(nearest - value), rel=1e-9)
