import numpy as np
import pytest

from agent.errors import Refused
from agent.wire.documents import Endpoint
from agent.wire.golden import MOST_MOLECULES, Golden, on_model_scale, rows_sha256
from tests.kit.consortium import ENDPOINTS, FEATURES

GOLDEN = Golden(
    feature_sha256="1" * 64,
    rows_sha256="2" * 64,
    smiles=("CCO", "CCN"),
    heads=("logbb",),
    expected=((1.0,), (2.0,)),
    tolerance=0.001,
)
CLASS = Endpoint(id="ames", name="Ames", group="T", kind="classification")


def test_it_is_read_as_it_was_written() -> None:
    assert Golden.parse(GOLDEN.to_bytes()) == GOLDEN


@pytest.mark.parametrize(
    "changes",
    [
        {"expected": ((1.0,),)},
        {"expected": ((1.0,), (2.0, 3.0))},
        {"expected": ((1.0,), (float("nan"),))},
        {"smiles": (), "expected": ()},
        {"smiles": ("C",) * (MOST_MOLECULES + 1), "expected": ((1.0,),) * (MOST_MOLECULES + 1)},
        {"smiles": ("CCO", "C" * 501)},
        {"heads": (), "expected": ((), ())},
        {"tolerance": 0.0},
        {"tolerance": 0.06},
        {"rows_sha256": "x"},
    ],
)
def test_what_is_no_table_of_golden_molecules_is_refused(changes: dict[str, object]) -> None:
    content = GOLDEN.model_copy(update=changes).model_dump_json().encode()
    with pytest.raises(Refused) as refused:
        Golden.parse(content)
    assert refused.value.code == "malformed"


def test_the_hash_of_rows_sees_a_change_and_no_rounding() -> None:
    places, values = np.array([0, 1], np.int64), np.array([0.25, -0.0], np.float32)
    first = rows_sha256(FEATURES, [places, values])
    assert rows_sha256(FEATURES, [places, values + np.float32(1e-7)]) == first
    assert rows_sha256(FEATURES, [places, np.abs(values)]) == first
    assert rows_sha256(FEATURES, [places, values + np.float32(1e-4)]) != first
    assert rows_sha256(FEATURES.model_copy(update={"clip": 4.0}), [places, values]) != first


def test_answers_are_on_the_scale_of_predictions() -> None:
    raw = np.array([[0.0, 0.0], [1.0, 1000.0], [-1.0, -1000.0]])
    logbb = ENDPOINTS[0]  # from -5 to 5
    scaled = on_model_scale(raw, [logbb, CLASS])
    np.testing.assert_allclose(scaled, [[0.0, 0.5], [2.5, 1.0], [-2.5, 0.0]])
