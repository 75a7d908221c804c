"""From the units of the field to an endpoint's canonical unit; an unknown unit is never guessed.

Each unit is a quantity and a factor to the quantity's reference; only units of one quantity
convert, save mass and amount concentrations, which join through the molecular weight, and what a
profile joins with a declared factor. What a text means is read in `unit_names`.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from agent.assays import unit_names
from agent.assays.unit_names import MASS, MOLAR, PART, PURE
from agent.errors import Refused
from agent.wire.documents import Endpoint

_CACHED_TEXTS = 4096
_LOG = re.compile(r"^(-?)log(?:10)?(?!units)\(?([^()]+?)\)?$", re.IGNORECASE)
_INCONVERTIBLE = "The unit {unit!r} cannot be converted to {canonical!r}; correct it."


class Unit(NamedTuple):
    """A unit as this module understands it.

    Attributes:
        quantity: Units of one quantity convert into each other.
        factor: What one of it is in the quantity's reference unit.
        log: 0 for a linear scale, 1 for log10 of it, -1 for -log10 (as in pIC50).
    """

    quantity: str
    factor: float
    log: int = 0


@dataclass(frozen=True, slots=True)
class Joint:
    """A factor that somebody declared between two quantities that no unit alone can join.

    With 40 mg of microsomal protein in a gram of liver, 1 mL/min/g is 25 uL/min/mg:
    `Joint("mL/min/g", "uL/min/mg", 25.0)`.

    Attributes:
        source: A unit.
        target: A unit of another quantity.
        factor: What one `source` is in `target`, above zero; it also holds the other way round.
    """

    source: str
    target: str
    factor: float


def parse(text: str) -> Unit:
    """Reads a unit as people write it.

    Raises:
        Refused: `unknown_unit`.
    """
    found = _parsed(text)
    if found is None:
        raise Refused(
            "unknown_unit",
            f"The unit {text.strip()[:40]!r} is not known; correct it or declare another unit.",
        )
    return found


@lru_cache(maxsize=_CACHED_TEXTS)  # a million rows have a handful of units
def _parsed(text: str) -> Unit | None:
    plain = unit_names.plain(text)
    linear = unit_names.linear(plain)
    if linear is not None:
        return Unit(*linear)
    logarithm = _LOG.match(plain)
    inner = unit_names.linear(logarithm[2]) if logarithm else None
    if logarithm is None or inner is None:
        return None
    return Unit(*inner, log=-1 if logarithm[1] else 1)


def flips(text: str) -> bool:
    """Tells whether numbers in this unit fall where the quantity grows (-log10, as in pIC50).

    Raises:
        Refused: `unknown_unit`.
    """
    return parse(text).log < 0


def to_canonical(
    value: float,
    unit: str,
    endpoint: Endpoint,
    weight_g_mol: float,
    joints: Sequence[Joint] = (),
) -> float:
    """Converts a value to an endpoint's canonical unit.

    Args:
        value: In `unit`.
        unit: As written.
        endpoint: Its `unit` is the target.
        weight_g_mol: Molecular weight of the parent, which joins mass and molar.
        joints: Declared factors between other quantities; the first that fits counts.

    Raises:
        Refused: `unknown_unit` (not known, or of another quantity), `negative_concentration`,
            `not_positive` (no logarithm exists) or `out_of_range` (too large for a number).
    """
    source, target = parse(unit), parse(endpoint.unit)
    if source == target:
        linear_below_zero = value < 0 and not source.log
        if linear_below_zero and source.quantity in (MOLAR, MASS):
            raise Refused("negative_concentration", "A concentration cannot be below zero.")
        return value
    base = _to_base(value, source)
    if source.quantity != target.quantity:
        ratio = _bridge(source, target, weight_g_mol)
        ratio = _declared(source, target, joints) if ratio is None else ratio
        if ratio is None:
            shown = _INCONVERTIBLE.format(unit=unit.strip()[:40], canonical=endpoint.unit)
            raise Refused("unknown_unit", shown)
        base *= ratio
    return _from_base(base, target)


def _to_base(value: float, unit: Unit) -> float:
    try:
        linear = 10.0 ** (unit.log * value) if unit.log else value
    except OverflowError as error:
        raise Refused("out_of_range", "The value is too large for a logarithm.") from error
    if linear < 0 and unit.quantity in (MOLAR, MASS):
        raise Refused("negative_concentration", "A concentration cannot be below zero.")
    return linear * unit.factor


def _bridge(source: Unit, target: Unit, weight_g_mol: float) -> float | None:
    """Returns what takes a source's reference to the target's, where chemistry joins them."""
    pair = (source.quantity, target.quantity)
    if pair == (MASS, MOLAR):  # ug/mL = mg/L; over g/mol that is mmol/L
        return 1e3 / weight_g_mol
    if pair == (MOLAR, MASS):
        return weight_g_mol / 1e3
    # A ratio is a pure number; a percentage is not, so nothing is rescaled here.
    if pair == (PART, PURE) and source.factor == unit_names.RATIO:
        return 1 / unit_names.RATIO
    if pair == (PURE, PART) and target.factor == unit_names.RATIO:
        return unit_names.RATIO
    return None


def _declared(source: Unit, target: Unit, joints: Sequence[Joint]) -> float | None:
    pair = (source.quantity, target.quantity)
    for joint in joints:
        one, other = parse(joint.source), parse(joint.target)
        ratio = joint.factor * other.factor / one.factor
        if pair == (one.quantity, other.quantity):
            return ratio
        if pair == (other.quantity, one.quantity):
            return 1 / ratio
    return None


def _from_base(base: float, unit: Unit) -> float:
    linear = base / unit.factor
    if not unit.log:
        return linear
    if linear <= 0:
        raise Refused("not_positive", "The value must be above zero to have a logarithm.")
    return unit.log * math.log10(linear)
