"""The text is held against `json.dumps` of what `to_native` and `rounded` make of each number."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.records import InvalidStructure
from agent.releases.card import TaskCard, Transform
from agent.serving.certainty import Floats, Judged
from agent.serving.native import native_interval, rounded, to_native
from agent.serving.written import Writer

_TRANSFORMS: tuple[Transform, ...] = ("identity", "log10", "neg_log10_molar", "log10_plus_1")
_NUMBERS = arrays(np.float32, (4, 3, 4), elements=st.floats(-40, 40, width=32) | st.just(math.nan))


def _task(name: str, transform: Transform) -> TaskCard:
    return TaskCard(
        task=name,
        name=name,
        kind="regression",
        unit='100 % "é"',
        transform=transform,
        n_train=1,
        n_test=1,
        metric="mae",
        error_local=None,
        error_release=None,
        private=False,
    )


TASKS = tuple(_task(f"t%s{number}", kind) for number, kind in enumerate(_TRANSFORMS))


def _judged(numbers: Floats) -> Judged:
    mean, spread, similarity, half = numbers
    fine = np.nan_to_num(spread)
    low, high = mean - np.abs(half), mean + np.abs(half)
    return Judged(low, high, np.nan_to_num(similarity), fine, fine > 1, similarity < 0)


def _expected(mean: Floats, judged: Judged, row: int) -> str | None:
    said: dict[str, object] = {}
    for column, task in enumerate(TASKS):
        model = float(mean[row, column])
        low, high = float(judged.low[row, column]), float(judged.high[row, column])
        if not (math.isfinite(model) and math.isfinite(to_native(model, task.transform))):
            return None
        far, apart = bool(judged.far[row, column]), bool(judged.apart[row, column])
        said[task.task] = {
            "value": rounded(to_native(model, task.transform)),
            "model_value": rounded(model),
            "unit": task.unit,
            "interval": None if math.isnan(low) else native_interval(low, high, task.transform),
            "inside": not (far or apart),
            "similarity": rounded(float(judged.similarity[row, column])),
            "spread": rounded(float(judged.spread[row, column])),
            "outside_by": ["similarity"] * far + ["spread"] * apart,
        }
    return json.dumps(said, ensure_ascii=False)


@given(_NUMBERS)
def test_it_writes_what_json_writes(numbers: Floats) -> None:
    mean, judged = numbers[0], _judged(numbers)
    for row, text in enumerate(Writer(TASKS).texts(mean, judged)):
        wanted = _expected(mean, judged, row)
        assert ("{" + text + "}" if isinstance(text, str) else None) == wanted


def test_without_a_calibration_nothing_is_known() -> None:
    (text,) = Writer(TASKS[:1]).texts(np.array([[0.00001234567]], np.float32), None)
    assert text == (
        '"t%s0": {"value": 1.2346e-05, "model_value": 1.2346e-05, "unit": "100 % \\"é\\"", '
        '"interval": null, "inside": null, "similarity": null, "spread": null, "outside_by": []}'
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_what_is_no_finite_number_keeps_its_reason(value: float) -> None:
    mean = np.array([[0.0, value], [0.0, 1.0]], np.float32)
    wrong, fine = Writer(TASKS[:2]).texts(mean, None)
    assert wrong == InvalidStructure("predict", "t%s1 came out as no finite number.")
    assert isinstance(fine, str)
