"""What a profile says about a value: words that mean nothing, limits, factors, dates, retraction.

Everything here is declared by a person. A value to which a declaration cannot be applied is set
aside; it is never read as if the declaration were not there.
"""

import math
import re
import unicodedata
from collections.abc import Iterable
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


class Vocabulary:
    """Words and numbers that a profile lists; 0 and 0.0 are the same word."""

    def __init__(self, words: Iterable[str]) -> None:
        listed = tuple(words)
        self._plain = frozenset(word.strip().casefold() for word in listed)
        self._numbers = frozenset(map(plain_number, listed)) - {None}

    def says(self, text: str) -> bool:
        """Tells whether a cell says one of the words."""
        if not text or not self._plain:
            return False
        if text.strip().casefold() in self._plain:
            return True
        return bool(self._numbers) and plain_number(text) in self._numbers


class Settler:
    """Applies what a profile declares to the readings of one assay; it is made once a table.

    Args:
        meaning: The profile's entry for the assay; `None` where rules decide alone.
        profile: Gives what holds for every row.
    """

    def __init__(self, meaning: Meaning | None, profile: Profile) -> None:
        self._meaning = meaning
        self._missing = Vocabulary((*profile.missing, *(meaning.missing if meaning else ())))
        self._date_format = profile.date_format
        if meaning is None:
            return
        words = (meaning.test, meaning.test_type, meaning.subject, meaning.readout)
        said = any((*words, meaning.condition))
        self._assay = Assay(*words, meaning.condition) if said else None
        self._below = Vocabulary(meaning.below)
        # Most assays declare neither, and then the number need not be read here.
        ends = (meaning.floor, meaning.ceiling)
        self._is_limited = bool(meaning.below) or ends != (None, None)

    def settle(self, reading: Reading, *, retracted: bool) -> Reading | SetAside | Blank:
        """Applies it to a reading.

        Args:
            reading: As its row says it.
            retracted: Whether the row is flagged as retracted.

        Returns:
            The reading; a blank where its value says that nothing was measured; or why it is set
            aside: `below_quantification`, `unreadable_date` or `not_a_number`.
        """
        if retracted:  # what it says no longer matters, only which one it is
            return self._named(reading, reading.date)._replace(retracted=True)
        if self._missing.says(reading.value):
            return Blank(reading.place, reading.measurement_id)
        try:
            date = reading.date
            day = _day(date, self._date_format) if self._date_format and date else date
            if self._meaning is None:
                return reading if day == date else reading._replace(date=day)
            named = self._named(reading, day)
            limited = self._limited(named, self._meaning) if self._is_limited else named
            return limited if self._meaning.factor is None else _scaled(limited, self._meaning)
        except Refused as refused:
            why = (refused.code, refused.reason, reading.compound_id, reading.measurement_id)
            return SetAside(reading.place, *why)

    def _named(self, reading: Reading, day: str) -> Reading:
        meaning = self._meaning
        if meaning is None:
            return reading
        return reading._replace(
            assay=self._assay or reading.assay,
            endpoint=meaning.endpoint,
            unit=reading.unit or meaning.unit,
            date=day,
        )

    def _limited(self, reading: Reading, meaning: Meaning) -> Reading:
        """Writes out the qualifiers that the file leaves unsaid."""
        if self._below.says(reading.value):
            if meaning.limit is None:
                raise Refused(
                    "below_quantification",
                    "The value means below quantification; declare its limit in the profile.",
                )
            return reading._replace(qualifier="<", value=repr(meaning.limit))
        number = plain_number(reading.value)
        if number is None or unicodedata.normalize("NFKC", reading.qualifier) not in _UNQUALIFIED:
            return reading
        if _is_at(number, meaning.floor):
            return reading._replace(qualifier="<")
        if _is_at(number, meaning.ceiling):
            return reading._replace(qualifier=">")
        return reading


@lru_cache(maxsize=1_024)  # a value may be asked for several times
def plain_number(text: str) -> float | None:
    """Reads a cell that is nothing but a finite number, or returns `None`."""
    plain = unicodedata.normalize("NFKC", text).replace("−", "-").strip()
    if _THOUSANDS.fullmatch(plain):
        plain = plain.replace(",", "")
    if not _NUMBER.fullmatch(plain):
        return None
    number = float(plain)
    return number if math.isfinite(number) else None


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
    return reading._replace(value=f"{mark.strip()}{number!r}")


@lru_cache(maxsize=4_096)  # a store has many rows a day
def _day(text: str, date_format: str) -> str:
    """Writes a date as ISO 8601; a workbook's real dates are written so already."""
    if _ISO_DAY.match(text):
        return text
    try:
        return datetime.strptime(text, date_format).replace(tzinfo=UTC).date().isoformat()
    except ValueError as error:
        raise Refused(
            "unreadable_date",
            f"The date is not written as the profile says ({date_format}); correct one of them.",
        ) from error
