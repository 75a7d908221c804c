import numpy as np
import numpy.typing as npt
import pytest

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.releases.golden import check_answers, check_rows, read_golden
from agent.wire.golden import Golden
from tests.kit.consortium import FEATURES

HEADS = ("logbb", "ames")
GOLDEN = Golden(
    feature_sha256=sha256_bytes(FEATURES.to_bytes()),
    rows_sha256="1" * 64,
    smiles=("CCO", "CCN"),
    heads=HEADS,
    expected=((1.0, 0.5), (2.0, 0.25)),
    tolerance=0.001,
)
SPREAD = np.array([2.0, 1.0], np.float32)


def _said(**changes: float) -> npt.NDArray[np.float32]:
    said = np.array(GOLDEN.expected, np.float32)
    for place, value in changes.items():
        said[int(place[1]), int(place[2])] = value
    return said


def test_what_fits_the_release_is_read() -> None:
    assert read_golden(GOLDEN.to_bytes(), HEADS[::-1], FEATURES) == GOLDEN
    check_rows(GOLDEN, "1" * 64)
    check_answers(GOLDEN, _said(), SPREAD)
    check_answers(GOLDEN, _said(_00=1.0019), SPREAD)  # of a spread of 2


@pytest.mark.parametrize(
    ("content", "heads", "why"),
    [
        (b"{}", HEADS, "cannot be read"),
        (b"", HEADS, "cannot be read"),
        (GOLDEN.to_bytes(), ("logbb",), "other heads"),
        (GOLDEN.to_bytes(), (*HEADS, "logbb"), "other heads"),
        (GOLDEN.model_copy(update={"feature_sha256": "2" * 64}).to_bytes(), HEADS, "feature spec"),
        (GOLDEN.model_copy(update={"expected": ((1.0, 1.0),)}).to_bytes(), HEADS, "a row for each"),
        (
            GOLDEN.model_copy(update={"expected": ((1.0,), (1.0,))}).to_bytes(),
            HEADS,
            "number for each head",
        ),
        (GOLDEN.model_copy(update={"tolerance": 1.0}).to_bytes(), HEADS, "tolerance"),
    ],
)
def test_what_does_not_fit_is_refused(content: bytes, heads: tuple[str, ...], why: str) -> None:
    with pytest.raises(Refused, match=why) as refused:
        read_golden(content, heads, FEATURES)
    assert refused.value.code == "wrong_golden"


def test_other_features_are_refused() -> None:
    with pytest.raises(Refused, match="other features on this host") as refused:
        check_rows(GOLDEN, "3" * 64)
    assert refused.value.code == "wrong_golden"


@pytest.mark.parametrize("value", [0.5015, np.nan, np.inf])
def test_an_answer_beyond_the_tolerance_is_refused(value: float) -> None:
    with pytest.raises(Refused, match="1 of 2, first in ames") as refused:
        check_answers(GOLDEN, _said(_01=value), SPREAD)
    assert refused.value.code == "wrong_golden"
