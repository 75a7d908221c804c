"""Numbers, qualifiers and class words, as they are written in the field."""

import math
import re
import unicodedata

from agent.errors import Refused
from agent.records import Qualifier
from agent.wire.documents import Endpoint

_SYMBOLS: dict[str, Qualifier] = {
    "": "=", "=": "=", "==": "=", "~": "=", "≈": "=",
    "<": "<", "<=": "<", "≤": "<", "≦": "<", "<<": "<", "=<": "<", "⩽": "<",
    ">": ">", ">=": ">", "≥": ">", "≧": ">", ">>": ">", "=>": ">", "⩾": ">",
}  # fmt: skip
_FLIPPED: dict[Qualifier, Qualifier] = {"=": "=", "<": ">", ">": "<"}

_LEADING = re.compile(r"^([<>=~≈≤≥≦≧⩽⩾\s]*)(.*)$", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?")
_PLAIN = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,30})?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")
# What a spreadsheet makes of 6-2 or 1:30.
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].*)?|\d\d?:\d\d(?::\d\d(?:\.\d+)?)?")
_DIRECTIONAL = re.compile(r"\[.*,.*\]")
_MAX_CHARS = 200

_POSITIVE = frozenset({"positive", "1"})
_NEGATIVE = frozenset({"negative", "0"})


def flipped(qualifier: Qualifier) -> Qualifier:
    """Returns the qualifier as it reads on a scale that runs the other way."""
    return _FLIPPED[qualifier]


def split(qualifier: str, value: str) -> tuple[Qualifier, float]:
    """Reads a qualified number; the qualifier may stand apart or inside the value.

    Args:
        qualifier: As written, or empty.
        value: As written.

    Raises:
        Refused: `missing_value`, `not_a_number`, `ambiguous_number` (a decimal comma or a
            thousands separator), `date_as_number`, `directional_value`, `unknown_qualifier` or
            `conflicting_qualifier`.
    """
    # Most cells are plain; what is done to the others would change nothing in these.
    if qualifier in _SYMBOLS and _PLAIN.fullmatch(value):
        return _SYMBOLS[qualifier], float(value)
    apart = _qualifier(_clean(qualifier).strip("\"'"))  # `"="` keeps Excel from a formula
    leading = _LEADING.match(_clean(value))
    mark, rest = leading.groups() if leading else ("", "")
    inside = _qualifier("".join(mark.split()))
    if apart != inside and "=" not in (apart, inside):
        raise Refused("conflicting_qualifier", "The value's qualifier contradicts its column's.")
    return (inside if apart == "=" else apart), _number(rest.strip())


def _clean(text: str) -> str:
    # NFKC makes full-width signs and digits plain.
    return unicodedata.normalize("NFKC", text[:_MAX_CHARS]).replace("−", "-").strip()


def _qualifier(text: str) -> Qualifier:
    found = _SYMBOLS.get(text)
    if found is None:
        raise Refused(
            "unknown_qualifier", f"The relation {text[:20]!r} is not one of =, <, <=, >, >=, ~."
        )
    return found


def _number(text: str) -> float:
    if not text:
        raise Refused("missing_value", "There is no value; enter it or empty the whole row.")
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    elif "," in text and _NUMBER.fullmatch(text.replace(",", ".")):
        raise Refused("ambiguous_number", "The comma may be a decimal point; write a point.")
    if not _NUMBER.fullmatch(text):
        raise _not_a_number(text)
    number = float(text)
    if not math.isfinite(number):
        raise Refused("not_a_number", "The value is too large to be a number; correct it.")
    return number


def _not_a_number(text: str) -> Refused:
    if _DATE.fullmatch(text):
        return Refused("date_as_number", "The value is a date; the cell's format spoiled it.")
    if _DIRECTIONAL.fullmatch(text):
        return Refused("directional_value", "The value lists two directions; give each a row.")
    return Refused("not_a_number", "The value is not a number; correct it.")


def classify(qualifier: str, value: str, unit: str, endpoint: Endpoint) -> float:
    """Reads a class from a word in the value, the relation or even the unit column.

    Args:
        qualifier: As written, or empty.
        value: As written, or empty; 1 and 0 are always understood.
        unit: As written, or empty.
        endpoint: Its `positive` and `negative` words are understood, and those two themselves.

    Returns:
        1.0 or 0.0.

    Raises:
        Refused: `missing_value`, `unknown_class` or `conflicting_class`.
    """
    found = {_class_of(_word(text), endpoint) for text in (value, qualifier, unit)} - {None}
    if len(found) > 1:
        raise Refused("conflicting_class", "The row names both classes; correct it.")
    if found:
        return 1.0 if True in found else 0.0
    if not (value.strip() or qualifier.strip()):
        raise Refused("missing_value", "There is no class; enter it or empty the whole row.")
    words = ", ".join(sorted({*_POSITIVE, *_NEGATIVE, *endpoint.positive, *endpoint.negative}))
    raise Refused("unknown_class", f"The value is not one of: {words}.")


def _word(text: str) -> str:
    word = " ".join(_clean(text).lower().split())
    return {"1.0": "1", "0.0": "0"}.get(word, word)


def _class_of(word: str, endpoint: Endpoint) -> bool | None:
    if word in endpoint.positive or word in _POSITIVE:
        return True
    if word in endpoint.negative or word in _NEGATIVE:
        return False
    return None
