"""From the units of the field to an endpoint's canonical unit; an unknown unit is never guessed.

Each unit is a quantity and a factor to the quantity's base; only units of one quantity convert,
save mass and amount concentrations, which join through the molecular weight.
"""

import math
import re
import unicodedata
from dataclasses import dataclass, replace

from agent.errors import Refused
from agent.wire.documents import Endpoint

_MOLAR = "molar"  # base uM
_MASS = "mass"  # base ug/mL
_PURE = "pure"  # a number without unit
_PART = "part"  # base %

_FACTORS: dict[str, tuple[str, float]] = {
    "M": (_MOLAR, 1e6), "mM": (_MOLAR, 1e3), "uM": (_MOLAR, 1.0), "nM": (_MOLAR, 1e-3),
    "pM": (_MOLAR, 1e-6),
    "mol/L": (_MOLAR, 1e6), "mmol/L": (_MOLAR, 1e3), "umol/L": (_MOLAR, 1.0),
    "nmol/L": (_MOLAR, 1e-3),
    "g/L": (_MASS, 1e3), "mg/mL": (_MASS, 1e3), "ug/mL": (_MASS, 1.0), "mg/L": (_MASS, 1.0),
    "ng/mL": (_MASS, 1e-3), "ug/L": (_MASS, 1e-3),
    "cm/s": ("permeability", 1e6), "10^-6cm/s": ("permeability", 1.0),
    "nm/s": ("permeability", 0.1),
    "uL/min/mg": ("clint_per_mg_protein", 1.0), "mL/min/mg": ("clint_per_mg_protein", 1e3),
    "uL/min/10^6cells": ("clint_per_cells", 1.0),
    "mL/min/g": ("clearance_per_g", 1.0),
    "mL/min/kg": ("clearance_per_kg", 1.0), "L/h/kg": ("clearance_per_kg", 1000 / 60),
    "L/kg": ("volume_per_kg", 1.0), "mL/kg": ("volume_per_kg", 1e-3),
    "ng.h/mL": ("exposure", 1.0), "ug.h/mL": ("exposure", 1e3),
    "kcal/mol": ("energy", 1.0), "kJ/mol": ("energy", 1 / 4.184),
    "s": ("time", 1 / 60), "min": ("time", 1.0), "h": ("time", 60.0), "d": ("time", 1440.0),
    "%": (_PART, 1.0), "ratio": (_PART, 100.0), "fraction": (_PART, 100.0),
    "": (_PURE, 1.0), "-": (_PURE, 1.0), "log": (_PURE, 1.0), "logunits": (_PURE, 1.0),
    "fold": (_PURE, 1.0),
}  # fmt: skip

# Spellings of one unit, applied in order to the text without blanks. Case is kept: uM is molar,
# um a length.
_SPELLINGS = (
    (re.compile(r"μ|µ"), "u"),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"[·∙⋅•*]"), "."),
    (re.compile(r"mol/l\b"), "mol/L"),
    (re.compile(r"(?<=[/mun])l(?=/|$)"), "L"),  # ml and ul, and per ml
    (re.compile(r"^(?:x|×)?(?:10(?:\^|'|e|\^\()?-6\)?|1[eE]-0?6)(?=\D)"), "10^-6"),
    (re.compile(r"^10\^-6\.?(?=cm)"), "10^-6"),
    (re.compile(r"cm(?:/sec|\.s\^?-1)$"), "cm/s"),
    (re.compile(r"\b(?:hours?|hrs?|hr)\b"), "h"),
    (re.compile(r"\b(?:minutes?|mins)\b"), "min"),
    (re.compile(r"\b(?:seconds?|secs?)\b"), "s"),
    (re.compile(r"\bdays?\b"), "d"),
    (re.compile(r"mgprotein$"), "mg"),
    (re.compile(r"/(?:1[eE]\+?0?6|10\^?6|million)cells?$"), "/10^6cells"),
    (re.compile(r"\bh\.ng/mL"), "ng.h/mL"),
    (re.compile(r"^(?:percent|pct)$", re.IGNORECASE), "%"),
    (re.compile(r"^(?:ratio|fraction|fold)$", re.IGNORECASE), lambda found: found[0].lower()),
)
_LOG = re.compile(r"^(-?)log(?:10)?(?!units)\(?([^()]+?)\)?$", re.IGNORECASE)
_INCONVERTIBLE = "The unit {unit!r} cannot be converted to {canonical!r}; correct it."


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as this module understands it.

    Attributes:
        quantity: Units of one quantity convert into each other.
        factor: What one of it is in the quantity's base unit.
        log: 0 for a linear scale, 1 for log10 of it, -1 for -log10 (as in pIC50).
    """

    quantity: str
    factor: float
    log: int = 0


def parse(text: str) -> Unit:
    """Reads a unit as people write it.

    Raises:
        Refused: `unknown_unit`.
    """
    plain = _plain(text)
    if plain in _FACTORS:
        return Unit(*_FACTORS[plain])
    logarithm = _LOG.match(plain)
    if logarithm and logarithm[2] in _FACTORS:
        inner = Unit(*_FACTORS[logarithm[2]])
        return replace(inner, log=-1 if logarithm[1] else 1)
    raise Refused(
        "unknown_unit",
        f"The unit {text.strip()[:40]!r} is not known; correct it or declare another unit.",
    )


def _plain(text: str) -> str:
    # NFKC opens the square signs of Korean keyboards and superscripts, and joins the two mus.
    plain = "".join(unicodedata.normalize("NFKC", text).split())
    for pattern, replacement in _SPELLINGS:
        plain = pattern.sub(replacement, plain)
    return plain


def flips(text: str) -> bool:
    """Tells whether numbers in this unit fall where the quantity grows (-log10, as in pIC50).

    Raises:
        Refused: `unknown_unit`.
    """
    return parse(text).log < 0


def to_canonical(value: float, unit: str, endpoint: Endpoint, weight_g_mol: float) -> float:
    """Converts a value to an endpoint's canonical unit.

    Args:
        value: In `unit`.
        unit: As written.
        endpoint: Its `unit` is the target.
        weight_g_mol: Molecular weight of the parent, which joins mass and molar.

    Raises:
        Refused: `unknown_unit` (not known, or of another quantity), `negative_concentration`,
            `not_positive` (no logarithm exists) or `out_of_range` (too large for a number).
    """
    source, target = parse(unit), parse(endpoint.unit)
    if source == target:
        linear_below_zero = value < 0 and not source.log
        if linear_below_zero and source.quantity in (_MOLAR, _MASS):
            raise Refused("negative_concentration", "A concentration cannot be below zero.")
        return value
    base = _to_base(value, source)
    base = _across(base, source, target, weight_g_mol, unit, endpoint.unit)
    return _from_base(base, target)


def _to_base(value: float, unit: Unit) -> float:
    try:
        linear = 10.0 ** (unit.log * value) if unit.log else value
    except OverflowError as error:
        raise Refused("out_of_range", "The value is too large for a logarithm.") from error
    if linear < 0 and unit.quantity in (_MOLAR, _MASS):
        raise Refused("negative_concentration", "A concentration cannot be below zero.")
    return linear * unit.factor


def _across(
    base: float, source: Unit, target: Unit, weight_g_mol: float, unit: str, canonical: str
) -> float:
    pair = (source.quantity, target.quantity)
    if source.quantity == target.quantity:
        return base
    if pair == (_MASS, _MOLAR):  # ug/mL = mg/L; over g/mol that is mmol/L
        return base / weight_g_mol * 1e3
    if pair == (_MOLAR, _MASS):
        return base * weight_g_mol / 1e3
    ratio = _FACTORS["ratio"][1]
    # A ratio is a pure number; a percentage is not, so nothing is rescaled here.
    if pair == (_PART, _PURE) and source.factor == ratio:
        return base / ratio
    if pair == (_PURE, _PART) and target.factor == ratio:
        return base * ratio
    raise Refused(
        "unknown_unit", _INCONVERTIBLE.format(unit=unit.strip()[:40], canonical=canonical)
    )


def _from_base(base: float, unit: Unit) -> float:
    linear = base / unit.factor
    if not unit.log:
        return linear
    if linear <= 0:
        raise Refused("not_positive", "The value must be above zero to have a logarithm.")
    return unit.log * math.log10(linear)
