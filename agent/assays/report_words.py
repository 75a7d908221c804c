"""What a reason may quote: units and assays are words of the field, structures and values are not.

A reason quotes what stood in a cell, and a shifted column puts a structure where a unit belongs.
"""

import re
from collections import Counter

from rdkit import Chem, rdBase

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_NUMBER = re.compile(r"^[-+<>=~≤≥ ]*\d[\d.,eE+-]*$")
_MIN_ROWS = 5
_MAX_TOKEN_CHARS = 24
_MAX_SHOWN = 20
_MIN_ATOMS = 2


class Wording:
    """Counts the quoted words of reasons, for codes where the word is what a person must mend.

    Args:
        detailed: Show every word; otherwise only those of several rows that cannot be a
            structure or a value.
    """

    def __init__(self, *, detailed: bool) -> None:
        self._detailed = detailed
        self._words: dict[str, Counter[str]] = {}

    def add(self, code: str, reason: str) -> None:
        """Counts one row's reason."""
        quoted = _QUOTED.search(reason)
        if quoted:
            self._words.setdefault(code, Counter())[quoted[0][1:-1]] += 1

    def of(self, code: str) -> list[dict[str, str | int]]:
        """Returns `word` and `rows`, most frequent first; hidden words are one entry, empty."""
        shown: list[dict[str, str | int]] = []
        hidden = 0
        for word, rows in self._words.get(code, Counter()).most_common():
            if len(shown) < _MAX_SHOWN and (self._detailed or may_show(word, rows)):
                shown.append({"word": word, "rows": rows})
            else:
                hidden += rows
        return [*shown, {"word": "", "rows": hidden}] if hidden else shown


def unquoted(reason: str) -> str:
    """Returns a reason without the words that it quotes."""
    return _QUOTED.sub("‘…’", reason)


def may_show(word: str, rows: int) -> bool:
    """Tells whether a quoted word may be shown without being asked for.

    Args:
        word: As quoted.
        rows: How many rows quote it: words of the field repeat.
    """
    if rows < _MIN_ROWS or _NUMBER.match(word.strip()):
        return False
    return not any(_structural(token) for token in word.split())


def _structural(token: str) -> bool:
    if len(token) > _MAX_TOKEN_CHARS and not re.fullmatch(r"[A-Za-z_]+", token):
        return True  # a long SMILES is cut in the reason, so that it need not parse
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(token, sanitize=False)
    return bool(molecule) and int(molecule.GetNumAtoms()) >= _MIN_ATOMS
