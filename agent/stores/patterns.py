"""What a column's cells look like: structures, numbers, dates, qualifiers, names."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agent.stores.meaning import plain_number

Look = Literal["blank", "structure", "number", "date", "qualifier", "name", "word"]

_SMILES = re.compile(r"(?:\[[^\[\]\s]{1,40}\]|Cl|Br|[BCNOPSFIbcnops]|[()=#\-+\\/.:%~@0-9])+")
_BOND = re.compile(r"[()=#\[\]]|c1|C1|cc|CC")
_DATES = (
    (re.compile(r"\d{4}-\d\d?-\d\d?(?:[T ].*)?"), ""),
    (re.compile(r"\d{4}/\d\d?/\d\d?"), ""),
    (re.compile(r"\d{4}\.\d\d?\.\d\d?"), ""),
    (re.compile(r"\d\d?\.\d\d?\.\d{4}"), "%d.%m.%Y"),
    (re.compile(r"\d\d?-[A-Za-z]{3}-\d{4}"), "%d-%b-%Y"),
    (re.compile(r"\d\d?/\d\d?/\d{4}"), "?"),
)
_QUALIFIERS = frozenset({"<", ">", "=", "<=", ">=", "≤", "≥", "~", "<<", ">>", "＝"})
_LEADING = re.compile(r"^[<>=~≤≥\s]+")
_MOST = 0.6
_UNIQUE = 0.8
_PILE_SHARE = 0.02
_PILE_LEAST = 8


@dataclass(frozen=True, slots=True)
class Pattern:
    """What most of a column's filled cells are.

    Attributes:
        look: The kind of cell.
        share: How much of the filled cells is of that kind.
        filled: How many cells are not blank.
        unique: How much of the filled cells occurs once only.
        whole: Whether every number is a whole one.
        date_format: For `date`: as a profile writes it; "?" where two readings are possible.
    """

    look: Look
    share: float
    filled: int
    unique: float
    whole: bool = False
    date_format: str = ""


@dataclass(frozen=True, slots=True)
class Pile:
    """A lowest or highest number that occurs far too often to be measured."""

    value: str
    count: int
    side: Literal["floor", "ceiling"]


def look_at(cells: Sequence[str]) -> Pattern:
    """Finds out what a column's cells are."""
    filled = [cell for cell in cells if cell]
    if not filled:
        return Pattern("blank", 1.0, 0, 0.0)
    unique = len(set(filled)) / len(filled)
    shares: dict[Look, float] = {
        "qualifier": _share([cell in _QUALIFIERS for cell in filled]),
        "date": _share([_date_format(cell) is not None for cell in filled]),
        "number": _share([_number(cell) is not None for cell in filled]),
        "structure": _share([_is_smiles(cell) for cell in filled]),
    }
    look = max(shares, key=lambda name: shares[name])
    if shares[look] < _MOST:
        return Pattern("name" if unique >= _UNIQUE else "word", 1.0, len(filled), unique)
    whole = look == "number" and all((_number(cell) or 0.0) % 1 == 0 for cell in filled)
    return Pattern(look, shares[look], len(filled), unique, whole, _common_format(filled, look))


def piles(cells: Sequence[str]) -> list[Pile]:
    """Finds the lowest and the highest number where they pile up."""
    numbers = {cell: number for cell in cells if (number := plain_number(cell)) is not None}
    if len(set(numbers.values())) <= 2:
        return []
    counts = Counter(cell for cell in cells if cell in numbers)
    found = []
    for side, end in (("floor", min), ("ceiling", max)):
        cell = end(numbers, key=lambda text: numbers[text])
        if counts[cell] >= max(_PILE_LEAST, math.ceil(_PILE_SHARE * counts.total())):
            found.append(Pile(cell, counts[cell], "floor" if side == "floor" else "ceiling"))
    return found


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


def _number(cell: str) -> float | None:
    return plain_number(_LEADING.sub("", cell))


def _is_smiles(cell: str) -> bool:
    whole = _SMILES.fullmatch(cell.split()[0]) if cell.split() else None
    return bool(whole) and bool(_BOND.search(cell)) and plain_number(cell) is None


def _date_format(cell: str) -> str | None:
    for pattern, date_format in _DATES:
        if pattern.fullmatch(cell):
            return date_format
    return None


def _common_format(cells: Sequence[str], look: Look) -> str:
    if look != "date":
        return ""
    return Counter(_date_format(cell) or "" for cell in cells).most_common(1)[0][0]
