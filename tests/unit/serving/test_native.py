import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assays import endpoints
from agent.releases.card import Transform
from agent.serving.native import all_rounded, native_interval, natives, rounded, to_native
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


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_columns_are_rounded_as_single_values_are(values: list[float]) -> None:
    found = all_rounded(np.array(values)).tolist()
    # A double may lie so near the middle that the last of five digits is one more or less.
    assert found == pytest.approx([rounded(value) for value in values], rel=1.1e-4, nan_ok=True)


@given(st.floats(-1e6, 1e6, width=32))
def test_what_a_model_says_is_rounded_to_the_very_same_number(value: float) -> None:
    # Of float32 none lies half-way but those that are exact, which both round to even.
    assert all_rounded(np.array([value])).tolist() == [rounded(value)]
