"""Permeability by direction: `[AtoB, BtoA]` lists, in one column or in two.

Source: K-MELLODDY long format v4.6: `[6,2]`, `[6,]`, `[,2]`, in `Measurement_Value` or in
`Measurement_Value(AtoB)` and `Measurement_Value(BtoA)`; either of those may hold the whole list.
"""

import math
import re
from typing import NamedTuple

from agent.errors import Refused

A_TO_B = "AtoB"
B_TO_A = "BtoA"
EFFLUX_READOUT = "efflux_Ratio"

_LIST = re.compile(r"^\[([^,\[\]]*),([^,\[\]]*)\]$")
_SINGLE = re.compile(r"^\[([^,\[\]]*)\]$")
_EMPTY = frozenset({"", "-", "nan", "none", "not specified"})


class Directions(NamedTuple):
    """The two directions as written; empty where a direction is not given."""

    a_to_b: str
    b_to_a: str


def is_list(value: str) -> bool:
    """Tells whether a value is a list of two directions."""
    return bool(_LIST.match(value.strip()))


def count_given(cell: str) -> int:
    """Counts the measurements in one cell: the filled parts of a list, or the cell itself."""
    return sum(map(bool, _parts(cell, 0)))


def directions(value: str, a_to_b: str, b_to_a: str) -> Directions:
    """Joins what the value and the two columns say of the directions.

    Args:
        value: The cell `Measurement_Value` where it is a list, or an empty text.
        a_to_b: The cell `Measurement_Value(AtoB)`.
        b_to_a: The cell `Measurement_Value(BtoA)`.

    Raises:
        Refused: `conflicting_directions`: two cells say different things of one direction.
    """
    cells = (_parts(value, None), _parts(a_to_b, 0), _parts(b_to_a, 1))
    joined = []
    for at in (0, 1):
        given = {cell[at] for cell in cells if cell[at]}
        if len(given) > 1:
            raise Refused(
                "conflicting_directions",
                "Two cells give different values of one direction; correct one of them.",
            )
        joined.append(given.pop() if given else "")
    return Directions(*joined)


def _parts(cell: str, side: int | None) -> Directions:
    text = cell.strip()
    listed = _LIST.match(text)
    if listed:
        return Directions(*(_given(part) for part in listed.groups()))
    if side is None:
        return Directions("", "")
    single = _SINGLE.match(text)
    given = _given(single[1] if single else text)
    return Directions(given, "") if side == 0 else Directions("", given)


def _given(text: str) -> str:
    plain = text.strip()
    return "" if plain.lower() in _EMPTY else plain


def efflux_ratio(both: Directions, qualifier: str) -> str:
    """Returns BtoA / AtoB, or an empty text where it is not known exactly.

    A bound in either direction gives no ratio: a quotient of bounds may be bounded on no side.
    """
    if qualifier.strip() not in {"", "=", "＝"}:
        return ""
    try:
        a_to_b, b_to_a = float(both.a_to_b), float(both.b_to_a)
    except ValueError:
        return ""
    if not (0 < a_to_b < math.inf and 0 <= b_to_a < math.inf):
        return ""
    ratio = b_to_a / a_to_b
    return f"{ratio:.6g}" if math.isfinite(ratio) else ""


def directed(readout: str, direction: str) -> str:
    """Returns the readout of one direction, such as `Papp(AtoB)`."""
    return f"{readout}({direction})"
