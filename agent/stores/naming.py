"""What a column's header says: its unit, its role, and the endpoint that it comes closest to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agent.wire.documents import Endpoint

Role = Literal[
    "structure", "compound", "date", "measurement_id", "qualifier", "unit", "value", "assay", ""
]

_UNIT = re.compile(r"[(\[]([^()\[\]]*)[)\]]\s*$")
_LOG = re.compile(r"^(-|neg)?[\s_]*log(?:10)?[\s_]", re.IGNORECASE)
_WORD = re.compile(r"\d[a-z]\d+|[a-z]+|\d+(?:\.\d+)?")  # 3A4 is one word
_LEAST_SCORE = 0.5
_ROLES: tuple[tuple[Role, frozenset[str]], ...] = (
    ("structure", frozenset({"smiles", "structure", "구조"})),
    ("qualifier", frozenset({"qualifier", "relation", "operator", "modifier", "rel", "부호"})),
    ("unit", frozenset({"unit", "units", "단위"})),
    ("date", frozenset({"date", "day", "measured", "tested", "날짜", "일자", "측정일"})),
    ("value", frozenset({"value", "result", "measurement", "값", "결과"})),
    ("assay", frozenset({"assay", "test", "readout", "endpoint", "시험"})),
    ("measurement_id", frozenset({"row", "record", "index", "measurement_id", "result_id"})),
    ("compound", frozenset({"compound", "molecule", "chemical", "id", "name", "화합물", "sample"})),
)
# What chemists shorten; the catalogue writes it out.
_SHORT = {
    "hlm": ("human", "microsomes"), "rlm": ("rat", "microsomes"), "mlm": ("mouse", "microsomes"),
    "hh": ("human", "hepatocytes"), "rh": ("rat", "hepatocytes"),
    "clint": ("intrinsic", "clearance"), "cl": ("clearance",), "sol": ("solubility",),
    "ksol": ("solubility",), "logs": ("solubility",), "ppb": ("plasma", "binding"),
    "hppb": ("plasma", "binding", "human"), "mppb": ("plasma", "binding", "mouse"),
    "rppb": ("plasma", "binding", "rat"), "papp": ("permeability",), "pgp": ("glycoprotein",),
    "er": ("efflux", "ratio"), "logpapp": ("permeability",),
}  # fmt: skip
_EMPTY = frozenset(
    {"a", "b", "of", "in", "the", "and", "by", "to", "or", "log", "ph", "protein", "ic", "50"}
    | {"inhibition"}
)
# These decide between endpoints that are otherwise alike: both sides must say them.
_DECISIVE = frozenset({"human", "rat", "mouse", "dog", "monkey", "unbound", "efflux"})


@dataclass(frozen=True, slots=True)
class Match:
    """An endpoint and how well a header fits one of its names, from 0 to 1."""

    endpoint: Endpoint
    score: float


def unit_of(header: str) -> str:
    """Returns the unit that a header carries, with its logarithm, or an empty text."""
    found = _UNIT.search(header)
    unit = found[1].strip() if found else ""
    logarithm = _LOG.match(header)
    if not (unit and logarithm):
        return unit
    if unit.startswith("%"):  # "% unbound" says what of
        unit = "%"
    return f"{'-' if logarithm[1] else ''}log10 {unit}"


def role_of(header: str) -> Role:
    """Returns what a header's words say that the column is for."""
    words = set(re.findall(r"[^\W_]+", header.casefold())) | {header.strip().casefold()}
    for role, known in _ROLES:
        if words & known:
            return role
    return ""


def matches(header: str, endpoints: Sequence[Endpoint]) -> list[Match]:
    """Returns the endpoints whose id, name or synonyms a header fits, best first."""
    words = _words(_UNIT.sub("", header)) | (_words(header) & _DECISIVE)
    found = [Match(endpoint, _score(words, endpoint)) for endpoint in endpoints]
    return sorted(
        (match for match in found if match.score >= _LEAST_SCORE),
        key=lambda match: -match.score,
    )


def _score(words: frozenset[str], endpoint: Endpoint) -> float:
    names = [_words(name) for name in (endpoint.id, endpoint.name, *endpoint.synonyms)]
    if words & _DECISIVE != frozenset().union(*names) & _DECISIVE:
        return 0.0
    return max(_likeness(words, name) for name in names)


def _likeness(words: frozenset[str], name: frozenset[str]) -> float:
    return 2 * len(words & name) / max(1, len(words) + len(name))  # Dice's coefficient


def _words(text: str) -> frozenset[str]:
    plain = text.casefold().replace("p-gp", "pgp").replace("caco-2", "caco2")
    plain = plain.replace("caco2", "caco")
    found: set[str] = set()
    for word in _WORD.findall(plain):
        found.update(_SHORT.get(word, (word,)))
    return frozenset(found - _EMPTY)
