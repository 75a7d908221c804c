"""JSON as the protocol accepts it: no duplicate keys, no NaN, no deep nesting, bounded size."""

import json
import math
import re
from typing import NoReturn

from agent.errors import Refused
from agent.records import Json

MAX_BYTES = 4 << 20
_MAX_DEPTH = 32
# Possessive, and the closing quote is optional: linear time on whatever arrives.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def dumps(value: Json) -> bytes:
    """Writes JSON compactly with sorted keys, so that equal values give equal bytes."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def loads(content: bytes) -> Json:
    """Reads JSON strictly.

    Raises:
        Refused: `not_json`, `too_large`, `too_deep`, `duplicate_key` or `not_a_number`.
    """
    if len(content) > MAX_BYTES:
        raise Refused("too_large", f"The document has over {MAX_BYTES} bytes.")
    if _depth(content) > _MAX_DEPTH:
        raise Refused("too_deep", f"The document nests deeper than {_MAX_DEPTH} levels.")
    try:
        value: Json = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constants,
            parse_float=_finite,
        )
        if _SURROGATE.search(content):
            dumps(value)  # half a surrogate pair is no text: it cannot be written again
    except ValueError as error:  # covers UnicodeDecodeError and JSONDecodeError
        raise Refused("not_json", "The document is not valid JSON in UTF-8.") from error
    return value


def _depth(content: bytes) -> int:
    # Counted without a parser, which would recurse; brackets inside strings do not count, for a
    # closing one there would hide as many opening ones after it.
    depth = deepest = 0
    for byte in _STRING.sub(b"", content).translate(None, _NOT_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Refused("duplicate_key", "The document gives one key twice.")
    return result


def _no_constants(name: str) -> NoReturn:
    raise Refused("not_a_number", f"The document contains {name}, which is no JSON number.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Refused("not_a_number", "The document contains a number beyond the range of floats.")
    return number
