import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assays.qualifiers import classify, flipped, split
from agent.errors import Refused
from agent.wire.documents import Endpoint

_AMES = Endpoint(
    id="ames",
    name="Ames",
    group="T",
    kind="classification",
    positive=("toxic",),
    negative=("non-toxic",),
)


@pytest.mark.parametrize(
    ("qualifier", "value", "expected"),
    [
        ("", "5", ("=", 5.0)),
        ("", "> 30.0", (">", 30.0)),
        (">", "30", (">", 30.0)),
        (">", "> 30", (">", 30.0)),
        ("=", "<5", ("<", 5.0)),
        ("≥", "5", (">", 5.0)),
        ("<=", "5", ("<", 5.0)),
        (">>", "5", (">", 5.0)),
        ("", "＜ ５", ("<", 5.0)),
        ("＝", "5", ("=", 5.0)),
        ("~", "5", ("=", 5.0)),
        ('"="', "5", ("=", 5.0)),
        ("<<", "5", ("<", 5.0)),
        (">=", "5", (">", 5.0)),
        ("≤", "5", ("<", 5.0)),
        ("", "1,234.5", ("=", 1234.5)),
        ("", "12,345,678", ("=", 12345678.0)),
        ("", "-1.5e-3", ("=", -0.0015)),
        ("", "−4.2", ("=", -4.2)),
        ("", ".5", ("=", 0.5)),
    ],
)
def test_qualified_numbers(qualifier: str, value: str, expected: tuple[str, float]) -> None:
    assert split(qualifier, value) == expected


@pytest.mark.parametrize(
    ("qualifier", "value", "code"),
    [
        ("", "", "missing_value"),
        (">", "", "missing_value"),
        ("", "abc", "not_a_number"),
        ("", "nan", "not_a_number"),
        ("", "inf", "not_a_number"),
        ("", "1e999", "not_a_number"),
        ("", "5.0 ± 0.3", "not_a_number"),
        ("", "1_000", "not_a_number"),
        ("", "1,5", "ambiguous_number"),
        ("", "0,123", "ambiguous_number"),
        ("", "2026-01-02", "date_as_number"),
        ("", "01:30:00", "date_as_number"),
        ("", "2026-01-02T00:00:00", "date_as_number"),
        ("", "[6,2]", "directional_value"),
        ("<", ">5", "conflicting_qualifier"),
        ("Positive", "5", "unknown_qualifier"),
        ("", "<>5", "unknown_qualifier"),
    ],
)
def test_what_is_no_qualified_number(qualifier: str, value: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        split(qualifier, value)
    assert caught.value.code == code


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_a_number_or_refused(qualifier: str, value: str) -> None:
    try:
        sign, number = split(qualifier, value)
    except Refused:
        return
    assert sign in "=<>"
    assert math.isfinite(number)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_that_is_written_is_read(number: float) -> None:
    assert split("", repr(number)) == ("=", number)


def test_flipping_twice_changes_nothing() -> None:
    assert [flipped(flipped(sign)) for sign in ("<", "=", ">")] == ["<", "=", ">"]
    assert flipped("<") == ">"


@pytest.mark.parametrize(
    ("qualifier", "value", "unit", "label"),
    [
        ("", "Positive", "", 1.0),
        ("Non-Toxic", "", "", 0.0),
        ("", "", "NEGATIVE", 0.0),
        ("=", "1", "", 1.0),
        ("", "0.0", "", 0.0),
        ("Toxic", "1", "", 1.0),
    ],
)
def test_class_words_in_any_column(qualifier: str, value: str, unit: str, label: float) -> None:
    assert classify(qualifier, value, unit, _AMES) == label


@pytest.mark.parametrize(
    ("qualifier", "value", "code"),
    [
        ("", "", "missing_value"),
        ("", "maybe", "unknown_class"),
        ("maybe", "", "unknown_class"),
        ("", "0.5", "unknown_class"),
        ("Toxic", "Negative", "conflicting_class"),
    ],
)
def test_what_is_no_class(qualifier: str, value: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        classify(qualifier, value, "", _AMES)
    assert caught.value.code == code
