"""Which assays a rule of the catalogue takes; the rule's language is that of `AssayRule`."""

import re
from dataclasses import dataclass

from agent.records import Assay
from agent.wire.documents import AssayRule

ANY = "*"
EMPTY = "-"

_WORDS = ("test", "test_type", "subject", "readout")
# Where silence would join what differs: species and cell lines. Conditions have their own rule.
_EXACT_WHEN_EMPTY = frozenset({"subject"})
_HYPHEN = re.compile(r"(?<=[^\W_])-(?=[^\W_])")
_ALTERNATIVES = "|"

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conditions:
    """One alternative of a rule's condition.

    Attributes:
        exact: Keys that must have just this value.
        free: Keys that may have any value or be missing.
        open: Whether keys that are not named may occur too.
    """

    exact: dict[str, str]
    free: frozenset[str]
    open: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, taken apart once; `None` for a word takes anything."""

    words: tuple[frozenset[str] | None, ...]
    conditions: tuple[Conditions, ...]


def plain(text: str) -> str:
    """Returns a word without case, blanks, underscores and inner hyphens.

    "CYP Inhibition" and "CYP_Inhibition", "P-gp" and "P_gp" both occur; TA98_S9+ and TA98_S9-
    stay apart.
    """
    joined = "".join(text.replace("_", " ").split()).lower()
    return _HYPHEN.sub("", joined)


def compiled(rule: AssayRule) -> Rule:
    """Takes a rule apart."""
    words = tuple(_alternatives(getattr(rule, name), name) for name in _WORDS)
    parts = rule.condition.split(_ALTERNATIVES)
    return Rule(words, tuple(_conditions(part) for part in parts))


def words_of(assay: Assay) -> tuple[Words, dict[str, str]]:
    """Returns an assay as `fit` takes it: plain words, and its condition by key."""
    words = tuple(plain(getattr(assay, name)) for name in _WORDS)
    return words, terms(assay.condition)


def terms(condition: str) -> dict[str, str]:
    """Takes a canonical condition apart; what has no key stands under `note`."""
    found = {}
    for part in filter(None, (part.strip() for part in condition.split(";"))):
        key, mark, value = part.partition("=")
        found[plain(key) if mark else "note"] = plain(value if mark else key)
    return found


def fit(rule: Rule, words: Words, condition: dict[str, str]) -> int:
    """Tells how specifically a rule takes an assay.

    Returns:
        0 where it does not; otherwise 1 and one more for each word and condition it names.
    """
    if not any(wanted and wanted - {"", ANY} for wanted in rule.words):
        return 0  # a rule that names nothing would take everything
    for wanted, have in zip(rule.words, words, strict=True):
        if wanted is not None and ANY not in wanted and have not in wanted:
            return 0
    met = [len(entry.exact) for entry in rule.conditions if _met(entry, condition)]
    if not met:
        return 0
    return 1 + max(met) + sum(wanted is not None and ANY not in wanted for wanted in rule.words)


def _alternatives(text: str, name: str) -> frozenset[str] | None:
    if not text.strip():
        return frozenset({""}) if name in _EXACT_WHEN_EMPTY else None
    parts = (part.strip() for part in text.split(_ALTERNATIVES))
    return frozenset(
        "" if part == EMPTY else part if part == ANY else plain(part) for part in parts
    )


def _conditions(text: str) -> Conditions:
    exact: dict[str, str] = {}
    free: set[str] = set()
    is_open = False
    for part in (part.strip() for part in text.split(";")):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if part == ANY:
            is_open = True
        elif value == ANY:
            free.add(plain(key))
        elif value:
            exact[plain(key)] = plain(value)
    return Conditions(exact, frozenset(free), is_open)


def _met(wanted: Conditions, have: dict[str, str]) -> bool:
    if any(have.get(key) != value for key, value in wanted.exact.items()):
        return False
    return wanted.open or all(key in wanted.exact or key in wanted.free for key in have)
