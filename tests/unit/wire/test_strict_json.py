"""Strict JSON: what it refuses, by name, and that nothing else ever comes out of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Refused
from agent.records import Json
from agent.wire import strict_json

_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


def _code(content: bytes) -> str:
    with pytest.raises(Refused) as caught:
        strict_json.loads(content)
    return caught.value.code


@given(_VALUES)
def test_what_is_written_reads_back_the_same(value: Json) -> None:
    written = strict_json.dumps(value)
    assert strict_json.loads(written) == value
    assert strict_json.dumps(strict_json.loads(written)) == written


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore"))
)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        value = strict_json.loads(content)
    except Refused:
        return
    strict_json.dumps(value)
    assert value == json.loads(content)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_json"),
        (b"\xff{}", "not_json"),
        (b"{", "not_json"),
        (b"{} {}", "not_json"),
        (b'"\\ud800"', "not_json"),
        (b"[" + b"9" * 5000 + b"]", "not_json"),
        (b'{"a":1,"a":1}', "duplicate_key"),
        (b'{"a":{"b":1,"\\u0062":2}}', "duplicate_key"),
        (b"NaN", "not_a_number"),
        (b"[-Infinity]", "not_a_number"),
        (b"[1e999]", "not_a_number"),
        (b"[" * 33 + b"]" * 33, "too_deep"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep"),
        (b" " * (strict_json.MAX_BYTES + 1), "too_large"),
    ],
)
def test_refusals_by_name(content: bytes, code: str) -> None:
    assert _code(content) == code


def test_closing_brackets_in_a_string_hide_no_depth() -> None:
    content = b'["' + b"]" * 5000 + b'",' + b"[" * 5000 + b"]" * 5001
    assert _code(content) == "too_deep"


def test_brackets_in_strings_are_no_depth() -> None:
    assert strict_json.loads(b'["' + b"[" * 100 + b'"]') == ["[" * 100]
    assert strict_json.loads(b'["\\"' + b"[" * 100 + b'"]') == ['"' + "[" * 100]


def test_depth_of_32_and_a_whole_surrogate_pair_pass() -> None:
    assert strict_json.loads(b"[" * 32 + b"]" * 32)
    assert strict_json.loads(b'"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_hostile_quotes_take_linear_time() -> None:
    # With a backtracking pattern this would take hours.
    assert _code(b'"' + b'\\"' * (1 << 20)) == "not_json"
