"""What the text of a unit means: spellings of the field, then pint over a closed list of units.

pint's own registry is not loaded: it knows barns, dog years and henries (H), and any of them in a
cell would be believed. Here every unit is listed, with its case: uM is molar, um is a length. A
mass that something is counted *per* is no mass: mg is microsomal protein, g is tissue (the liver,
for clearances) and kg is body weight. Each is a dimension of its own, so that mL/min/g and
mL/min/kg never convert by a factor of 1000.
"""

import re
import unicodedata
from functools import cache

from pint import UnitRegistry
from pint.errors import PintError

MOLAR = "molar"
MASS = "mass"
PURE = "pure"  # a number without unit
PART = "part"
RATIO = 100.0  # one, in %

# Words that are no product of units.
_WORDS: dict[str, tuple[str, float]] = {
    "%": (PART, 1.0), "ratio": (PART, RATIO), "fraction": (PART, RATIO),
    "": (PURE, 1.0), "-": (PURE, 1.0), "log": (PURE, 1.0), "logunits": (PURE, 1.0),
    "fold": (PURE, 1.0),
}  # fmt: skip
# Quantity: its reference unit, and how many of it make the reference.
_REFERENCES = {
    MOLAR: ("uM", 1.0), MASS: ("ug/mL", 1.0), "permeability": ("cm/s", 1e-6),
    "clint_per_mg_protein": ("uL/min/mg_protein", 1.0),
    "clint_per_cells": ("uL/min/Mcell", 1.0), "clearance_per_g": ("mL/min/g_tissue", 1.0),
    "clearance_per_kg": ("mL/min/kg_body", 1.0), "clearance": ("mL/min", 1.0),
    "volume_per_kg": ("L/kg_body", 1.0), "dose": ("mg/kg_body", 1.0),
    "exposure": ("ng*h/mL", 1.0), "exposure_molar": ("uM*h", 1.0),
    "energy": ("kcal/mol", 1.0), "time": ("min", 1.0), "rate": ("1/min", 1.0),
    "length": ("um", 1.0), "volume": ("mL", 1.0), "amount": ("nmol", 1.0),
}  # fmt: skip
_PREFIXES = {"p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "c": 1e-2, "d": 1e-1, "k": 1e3}
_PREFIXED = {"g": "pnumk", "mol": "pnum", "M": "pnum", "L": "numd", "m": "numc", "cal": "k"}
_PREFIXED |= {"J": "k"}
_DEFINITIONS = (
    "m = [length]", "s = [time]", "g = [mass]", "mol = [substance]", "J = [energy]",
    "L = 1e-3 * m ** 3", "M = mol / L", "cal = 4.184 * J",
    "min = 60 * s", "h = 3600 * s", "d = 86400 * s",
    "mg_protein = [protein]", "g_tissue = [tissue]", "kg_body = [body]", "cell = [cells]",
    "Mcell = 1e6 * cell",
)  # fmt: skip
_PER_MASS = {"mg": "mg_protein", "g": "g_tissue", "kg": "kg_body"}

# Spellings of one unit, applied in order to the text without blanks.
_SPELLINGS = (
    (re.compile(r"μ|µ"), "u"),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"[·∙⋅•*]"), "."),
    (re.compile(r"mol/l\b"), "mol/L"),
    (re.compile(r"(?<=[/mund])l(?=[/.]|$)"), "L"),  # ml, ul and dl, and per ml
    (re.compile(r"\b(?:hours?|hrs?|hr)\b"), "h"),
    (re.compile(r"\b(?:minutes?|mins)\b"), "min"),
    (re.compile(r"\b(?:seconds?|secs?)\b"), "s"),
    (re.compile(r"\bdays?\b"), "d"),
    (re.compile(r"\bmg(?:microsomal|mic\.?)?prot(?:ein)?$"), "mg_protein"),
    (re.compile(r"\bg(?:liver|tissue)$"), "g_tissue"),
    (re.compile(r"\bkg(?:bw|bodyweight)$", re.IGNORECASE), "kg_body"),
    (re.compile(r"/(?:1[eE]\+?0?6|10\^?6|million|M)\.?cells?$"), "/Mcell"),
    (re.compile(r"/cells$"), "/cell"),
    (re.compile(r"^1/"), "/"),
    (re.compile(r"^(?:percent|pct)$", re.IGNORECASE), "%"),
    (re.compile(r"^(?:ratio|fraction|fold)$", re.IGNORECASE), lambda found: found[0].lower()),
)
_INVERSE = re.compile(r"[A-Za-z]\^?[-−⁻][1-3¹]")
_POWER = re.compile(
    r"^[x×]?(?:10(?:\^|'|e|E)?\(?(-\d{1,2})\)?|10\^\(?\+?(\d{1,2})\)?|1[eE]([-+]?\d{1,2}))\.?(?=[A-Za-z])"
)
_BRACKETS = re.compile(r"/\(([^()]+)\)")
_FACTOR = re.compile(r"(^|[./])([A-Za-z_]+)(?:\^?(-?[1-3]))?(?=[./]|$)")
_MAX_CHARS = 60


def plain(text: str) -> str:
    """Returns a unit's text without blanks and with one spelling for what is spelled variously."""
    # NFKC opens the square signs of Korean keyboards and superscripts, and joins the two mus.
    inverse = _INVERSE.search(text[:_MAX_CHARS])  # "mL min-1 kg-1": the blanks multiply
    words = unicodedata.normalize("NFKC", text).split()
    result = ("." if inverse else "").join(words)
    for pattern, replacement in _SPELLINGS:
        result = pattern.sub(replacement, result)
    return result


def linear(text: str) -> tuple[str, float] | None:
    """Reads a unit without logarithm.

    Args:
        text: What `plain` made of it.

    Returns:
        Its quantity and what one of it is in the quantity's reference, or `None`.
    """
    if text in _WORDS:
        return _WORDS[text]
    power = _POWER.match(text)
    exponent = int(next(filter(None, power.groups()))) if power else 0
    found = _base(text[power.end() :] if power else text)
    if found is None:
        return None
    factor, dimensions = found
    quantity, reference = _quantities().get(dimensions, (dimensions, 1.0))
    # Fourteen digits: 0.001 and not 0.0010000000000000002 is what a nM is in uM.
    return quantity, float(f"{factor * 10.0**exponent / reference:.14g}")


def _base(text: str) -> tuple[float, str] | None:
    """Returns the factor to pint's base units and the dimensions, or `None`."""
    if len(text) > _MAX_CHARS:
        return None
    expression = _expression(_BRACKETS.sub(lambda found: "/" + found[1].replace(".", "/"), text))
    if expression is None:
        return None
    try:
        return _in_base_units(expression)
    except (PintError, ValueError, AttributeError):
        return None


def _in_base_units(expression: str) -> tuple[float, str]:
    unit = _registry().parse_units(expression)
    factor, _ = _registry().get_base_units(unit)
    return float(str(factor)), str(unit.dimensionality)


def _expression(text: str) -> str | None:
    """Returns the product as pint writes it; only names, signs and small exponents pass."""
    factors = list(_FACTOR.finditer(text))
    if "".join(found[0] for found in factors) != text or not factors or text[0] == ".":
        return None
    return " * ".join(_one(*found.groups()) for found in factors)


def _one(sign: str, name: str, exponent: str | None) -> str:
    power = int(exponent or 1) * (-1 if sign == "/" else 1)
    return f"{_PER_MASS.get(name, name) if power < 0 else name} ** {power}"


@cache
def _registry() -> UnitRegistry[float]:
    registry: UnitRegistry[float] = UnitRegistry(None)
    registry.load_definitions(list(_DEFINITIONS))
    for unit, prefixes in _PREFIXED.items():
        for prefix in prefixes:
            registry.define(f"{prefix}{unit} = {_PREFIXES[prefix]} * {unit}")
    return registry


@cache
def _quantities() -> dict[str, tuple[str, float]]:
    """Returns each known quantity with its reference in pint's base units, by dimensions."""
    known = {}
    for quantity, (text, count) in _REFERENCES.items():
        factor, dimensions = _in_base_units(text)
        known[dimensions] = (quantity, factor * count)
    return known
