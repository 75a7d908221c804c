"""The condition of an assay as one canonical text, wherever the row hides its parts.

Source of the places: the K-MELLODDY standard format, template V2 and long format v4.6
(docs/formats.md). A part that is not understood stays in the text under `note`, so that rows with
it are never joined with rows without it.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from agent.errors import Refused
from agent.records import Assay

KEYS = ("class", "conc", "conc_um", "dose", "formulation", "note", "ph", "route", "sex", "temp_c")
"""Every key that a condition can have; pH has no unit, `conc_um` is in uM, `temp_c` in Celsius."""

_NOTHING = frozenset({"", "-", "--", "n/a", "na", "none", "nan", "not specified", "n.a."})
_NUMBER = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)$")
_PH = re.compile(r"(?<![a-z])ph[\s_=:]*(\d{1,2}(?:\.\d+)?)(?![\d.])", re.IGNORECASE)
_MAX_PH = 14.0
_AMOUNT = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))\s*(.*)$")
_IN_READOUT = re.compile(r"^(inhibition)[_ ](\d+(?:\.\d+)?)\s*([uμnm]m)$", re.IGNORECASE)
_MICROMOLAR = {"": 1.0, "um": 1.0, "μm": 1.0, "nm": 1e-3, "mm": 1e3, "umol/l": 1.0}
_CELSIUS = frozenset({"", "c", "°c", "degc", "celsius", "deg c", "도"})
# Families in which a bare number as condition is a pH; in others it may be minutes or uM.
_PH_FAMILIES = frozenset(
    {
        *("solubility", "permeability", "physicochem", "brainpenetration"),
        *("plasmaproteinbinding", "effluxtransporter"),
    }
)
_ROUTES = {
    "intravenous": "iv", "i.v.": "iv", "oral": "po", "p.o.": "po", "per os": "po",
    "intraperitoneal": "ip", "i.p.": "ip", "subcutaneous": "sc", "s.c.": "sc",
}  # fmt: skip
# Words that only restate a number beside them; any other word in the class column tells apart.
_RESTATING = frozenset(
    {
        *("positive", "negative", "toxic", "non-toxic", "substrate", "non-substrate", "high"),
        *("moderate", "low", "potent", "weak", "inducer", "non-inducer", "inhibitor"),
        *("non-inhibitor", "cns+", "cns-", "cns+/-", "brain penetrant", "non-penetrant"),
    }
)
_SEXES = {"m": "male", "f": "female", "m/f": "mixed", "f/m": "mixed", "both": "mixed"}
# The legend below the template's sheet "TEST 분류".
_SPECIES = {"H": "Human", "MK": "Monkey", "D": "Dog", "R": "Rat", "M": "Mouse"}


@dataclass(frozen=True, slots=True)
class Words:
    """What a row says of its assay, as written; empty where it says nothing."""

    test: str = ""
    test_type: str = ""
    subject: str = ""
    readout: str = ""
    condition: str = ""
    concentration: str = ""
    temperature: str = ""
    dose: str = ""
    route: str = ""
    sex: str = ""
    formulation: str = ""
    label: str = ""


@lru_cache(maxsize=4096)  # a store has few assays and many rows
def assay_of(words: Words) -> Assay:
    """Takes the conditions out of wherever they stand and writes them as one text.

    Raises:
        Refused: `conflicting_condition`: two places name different values of one condition.
    """
    found = _Found()
    test_type = _without_ph(words.test_type, found)
    subject = _without_ph(words.subject, found)
    readout = _without_concentration(_given(words.readout), found)
    _free_text(words, found)
    _amounts(words, found)
    _labels(words, test_type, found)
    return Assay(
        test=_given(words.test),
        test_type=test_type,
        subject=_SPECIES.get(subject, subject),
        readout=readout,
        condition=found.text(),
    )


def restates(label: str) -> bool:
    """Tells whether a class word only says in a word what a number beside it says."""
    return _plain(label) in _RESTATING


def route_of(text: str) -> str:
    """Returns a route of administration as the standard abbreviates it (`iv`, `po` ...)."""
    route = _plain(text)
    return _ROUTES.get(route, route)


class _Found:
    """Conditions by key, each of one value."""

    def __init__(self) -> None:
        self._by_key: dict[str, str] = {}

    def put(self, key: str, value: str) -> None:
        if self._by_key.setdefault(key, value) != value:
            raise Refused(
                "conflicting_condition",
                f"The row gives two different values of {key}; correct one of them.",
            )

    def text(self) -> str:
        return "; ".join(f"{key}={value}" for key, value in sorted(self._by_key.items()))


def _given(text: str) -> str:
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    return "" if plain.lower() in _NOTHING else plain


def _canonical(number: str) -> str:
    return f"{float(number):g}"


def _without_ph(text: str, found: _Found) -> str:
    given = _given(text)
    hidden = _PH.search(given)
    if not hidden or float(hidden[1]) > _MAX_PH:
        return given
    found.put("ph", _canonical(hidden[1]))
    # `Solubility_pH7.4` becomes `Solubility`; what else the cell says is kept.
    return f"{given[: hidden.start()]} {given[hidden.end() :]}".strip(" _-,;()")


def _without_concentration(readout: str, found: _Found) -> str:
    hidden = _IN_READOUT.match(readout)
    if not hidden:
        return readout
    found.put("conc_um", _canonical(str(float(hidden[2]) * _MICROMOLAR[hidden[3].lower()])))
    return hidden[1]


def _free_text(words: Words, found: _Found) -> None:
    for part in words.condition.split(";"):
        key, mark, value = part.partition("=")
        key = key.strip().lower()
        if mark and key in KEYS and _given(value):  # canonical already, as in a profile
            found.put(key, _canonical(value) if _NUMBER.match(value.strip()) else _plain(value))
            continue
        rest = _without_ph(part, found)
        family = "".join(words.test.replace("_", " ").split()).lower()
        if _NUMBER.match(rest) and family in _PH_FAMILIES and 0 <= float(rest) <= _MAX_PH:
            found.put("ph", _canonical(rest))
        elif rest:
            found.put("note", _plain(rest))


def _plain(text: str) -> str:
    # ";" and "=" part the terms of the canonical text, so no value may hold them.
    return _given(text).lower().replace(";", ",").replace("=", ":")


def _amounts(words: Words, found: _Found) -> None:
    if conc := _given(words.concentration):
        found.put(*_concentration(conc))
    if temp := _given(words.temperature):
        amount = _AMOUNT.match(temp)
        known = amount is not None and amount[2].lower() in _CELSIUS
        found.put("temp_c", _canonical(amount[1]) if amount and known else _plain(temp))
    if dose := _given(words.dose):
        found.put("dose", _dose(dose))


def _dose(text: str) -> str:
    amount = _AMOUNT.match(text)
    return f"{_canonical(amount[1])} {_plain(amount[2])}".strip() if amount else _plain(text)


def _concentration(text: str) -> tuple[str, str]:
    amount = _AMOUNT.match(text)
    # A concentration is no length, so the case of uM does not matter here.
    unit = amount[2].lower() if amount else ""
    if amount is None or unit not in _MICROMOLAR:
        return "conc", _plain(text)
    return "conc_um", _canonical(str(float(amount[1]) * _MICROMOLAR[unit]))


def _labels(words: Words, test_type: str, found: _Found) -> None:
    if route := route_of(words.route):
        named = test_type.lower().partition("pk_")[2]
        if named and named != route:
            raise Refused(
                "conflicting_condition",
                "The route contradicts the test type; correct one of them.",
            )
        if not named:
            found.put("route", route)
    if sex := _plain(words.sex):
        found.put("sex", _SEXES.get(sex, sex))
    if formulation := _plain(words.formulation):
        found.put("formulation", formulation)
    if (label := _plain(words.label)) and not restates(label):
        found.put("class", label)
