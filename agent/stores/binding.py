"""Which of a file's headers is which column of a profile, found once a table."""

import re
from collections.abc import Mapping, Sequence

from agent.errors import Refused
from agent.stores.profile import Profile

# Quirks of the standard format's headers that occur in the field.
_HEADER_QUIRKS = (
    (re.compile(r"[\s_*]+"), ""),
    (re.compile(r"^measurment"), "measurement"),
    (re.compile(r"^testspecies$"), "testsubject"),
)
MEASURED = ("value", "value_a_to_b", "value_b_to_a")
"""Columns of which a long table needs one."""

NOWHERE = "\0"
"""Stands for a header where the file lacks the column: no reader lets one hold a NUL."""


class Bound:
    """The headers of one file by their meaning; `NOWHERE` for what it lacks.

    Args:
        profile: What the columns mean.
        found: The header as the file writes it, by the profile's name of the column.
    """

    def __init__(self, profile: Profile, found: Mapping[str, str]) -> None:
        self._found = found
        self._columns = profile.columns

    def __getitem__(self, role: str) -> str:
        """Returns the header of a role, such as `value`, which is a field of `Columns`."""
        return self.header(getattr(self._columns, role))

    def header(self, name: str | None) -> str:
        """Returns the header of a column that the profile names."""
        return self._found.get(name, NOWHERE) if name else NOWHERE


def normalized_header(name: str) -> str:
    """Returns a header without case, blanks, underscores, stars and the known misspellings."""
    text = name.strip().lower()
    for pattern, replacement in _HEADER_QUIRKS:
        text = pattern.sub(replacement, text)
    return text


def bind(header: Sequence[str], sheet: str, profile: Profile, *, lax: bool) -> Bound:
    """Finds, for each column that the profile names, the header as the file writes it.

    Args:
        header: The file's.
        sheet: The workbook's sheet, for the sentence of a refusal.
        profile: What it is read by.
        lax: Whether only structure and value must be there.

    Raises:
        Refused: `missing_column` or `ambiguous_column`.
    """
    wanted = [name for name in profile.columns.model_dump().values() if name]
    wanted += [entry.column for entry in profile.assay]
    wanted += [entry.qualifier_column for entry in profile.assay if entry.qualifier_column]
    wanted += [entry.unit_column for entry in profile.assay if entry.unit_column]
    found: dict[str, str] = {}
    for name in wanted:
        written = _find(name, header)
        if written is not None:
            found[name] = written
    missing = [name for name in (_needed(profile, found) if lax else wanted) if name not in found]
    if missing:
        where = f"sheet {sheet!r}" if sheet else "file"
        raise Refused(
            "missing_column",
            f"The {where} has no column {', '.join(map(repr, missing))}; "
            "correct the header or the store's profile.",
        )
    return Bound(profile, found)


def _needed(profile: Profile, found: Mapping[str, str]) -> list[str]:
    """Returns the columns without which a file of the standard format, or an SDF, is none."""
    columns = profile.columns
    given = [getattr(columns, name) in found for name in MEASURED]
    wanted = [columns.structure, None if any(given) else columns.value]
    return [name for name in wanted if name]


def _find(name: str, header: Sequence[str]) -> str | None:
    exact = [column for column in header if column == name]
    if len(exact) > 1:
        raise Refused("ambiguous_column", f"Two columns are named {name!r}; rename one of them.")
    if exact:
        return name
    wanted = normalized_header(name)
    alike = [column for column in header if normalized_header(column) == wanted]
    if len(alike) > 1:
        raise Refused("ambiguous_column", f"{len(alike)} columns could be {name!r}; rename them.")
    return alike[0] if alike else None
