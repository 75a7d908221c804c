"""What a profile says about a value: words that mean nothing, limits, factors, dates, retraction.

Everything here is declared by a person. A value to which a declaration cannot be applied is set
aside; it is never read as if the declaration were not there.
"""

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

from agent.errors import Refused
from agent.records import Assay, Blank, Reading, SetAside
from agent.stores.profile import Meaning, Profile

_QUALIFIED = re.compile(r"^([<>=~≈≤≥≦≧⩽⩾\s]*)(.*)$", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")
_LOG_UNIT = re.compile(r"^\s*([-−–]?)log(?:10)?(?![a-z])", re.IGNORECASE)
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d(?!\d)")
_UNQUALIFIED = frozenset({"", "="})
# A floor is typed with fewer digits than the file's own log10(3) has.
_SAME = 1e-9


def settled(
    reading: Reading, meaning: Meaning | None, profile: Profile, *, retracted: bool
) -> Reading | SetAside | Blank:
    """Applies what the profile declares to a reading.

    Args:
        reading: As its row says it.
        meaning: The entry of the profile that it belongs to; `None` where rules decide alone.
        profile: Gives what holds for every row.
        retracted: Whether the row is flagged as retracted.

    Returns:
        The reading; a blank where its value says that nothing was measured; or why it is set
        aside: `below_quantification`, `unreadable_date` or `not_a_number`.
    """
    if retracted:  # what it says no longer matters, only which one it is
        return replace(_named(reading, meaning), retracted=True)
    if is_word(reading.value, (*profile.missing, *(meaning.missing if meaning else ()))):
        return Blank(reading.place, reading.measurement_id)
    try:
        day = _day(reading.date, profile.date_format)
        dated = reading if day == reading.date else replace(reading, date=day)
        return _scaled(_limited(_named(dated, meaning), meaning), meaning) if meaning else dated
    except Refused as refused:
        why = (refused.code, refused.reason, reading.compound_id, reading.measurement_id)
        return SetAside(reading.place, *why)


def is_word(text: str, words: Iterable[str]) -> bool:
    """Tells whether a cell says one of the words; 0 and 0.0 are the same word."""
    if not text:
        return False
    plain, number = text.strip().casefold(), plain_number(text)
    return any(
        plain == word.strip().casefold() or (number is not None and number == plain_number(word))
        for word in words
    )


@lru_cache(maxsize=1_024)  # a value is asked for several times, and a profile's words for each row
def plain_number(text: str) -> float | None:
    """Reads a cell that is nothing but a finite number, or returns `None`."""
    plain = unicodedata.normalize("NFKC", text).replace("−", "-").strip()
    if _THOUSANDS.fullmatch(plain):
        plain = plain.replace(",", "")
    if not _NUMBER.fullmatch(plain):
        return None
    number = float(plain)
    return number if math.isfinite(number) else None


def _named(reading: Reading, meaning: Meaning | None) -> Reading:
    if meaning is None:
        return reading
    words = (meaning.test, meaning.test_type, meaning.subject, meaning.readout, meaning.condition)
    return replace(
        reading,
        endpoint=meaning.endpoint,
        assay=Assay(*words) if any(words) else reading.assay,
        unit=reading.unit or meaning.unit,
    )


def _limited(reading: Reading, meaning: Meaning) -> Reading:
    """Writes out the qualifiers that the file leaves unsaid."""
    if is_word(reading.value, meaning.below):
        if meaning.limit is None:
            raise Refused(
                "below_quantification",
                "The value means below quantification; declare its limit in the profile.",
            )
        return replace(reading, qualifier="<", value=repr(meaning.limit))
    number = plain_number(reading.value)
    if number is None or unicodedata.normalize("NFKC", reading.qualifier) not in _UNQUALIFIED:
        return reading
    if _is_at(number, meaning.floor):
        return replace(reading, qualifier="<")
    if _is_at(number, meaning.ceiling):
        return replace(reading, qualifier=">")
    return reading


def _is_at(number: float, limit: float | None) -> bool:
    return limit is not None and math.isclose(number, limit, rel_tol=_SAME)


def _scaled(reading: Reading, meaning: Meaning) -> Reading:
    if meaning.factor is None or not (reading.value or reading.qualifier):
        return reading
    found = _QUALIFIED.match(unicodedata.normalize("NFKC", reading.value))
    mark, rest = found.groups() if found else ("", "")
    number = plain_number(rest)
    if number is None:
        raise Refused(
            "not_a_number", "The profile's factor needs a number here; correct the value."
        )
    logarithm = _LOG_UNIT.match(reading.unit)
    if logarithm:
        shift = math.log10(meaning.factor)
        number += -shift if logarithm[1] else shift
    else:
        number *= meaning.factor
    return replace(reading, value=f"{mark.strip()}{number!r}")


def _day(text: str, date_format: str) -> str:
    """Writes a date as ISO 8601; a workbook's real dates are written so already."""
    if not (text and date_format) or _ISO_DAY.match(text):
        return text
    try:
        return datetime.strptime(text, date_format).replace(tzinfo=UTC).date().isoformat()
    except ValueError as error:
        raise Refused(
            "unreadable_date",
            f"The date is not written as the profile says ({date_format}); correct one of them.",
        ) from error
