"""Which column of a table holds the structures: by its name, else by what stands in it."""

import re
from collections.abc import Sequence

from agent.errors import Refused
from agent.records import InvalidStructure
from agent.serving.batch.tables import Line, Sheet

SAMPLE = 50
_LEAST_SHARE = 0.8
_LISTED = 20
_SMILES = re.compile(r"[A-Za-z0-9@+\-\[\]()=#$/\\.%:*~&!]{2,200}")
_USUAL = ("smiles", "canonical_smiles", "structure")


def column_named(header: Sequence[str], name: str) -> int:
    """Returns where a column is.

    Raises:
        Refused: `missing_column`: it is not there; the sentence lists those that are.
    """
    exact = [found.strip() for found in header]
    for names, wanted in (
        (exact, name.strip()),
        ([found.casefold() for found in exact], name.strip().casefold()),
    ):
        if wanted in names:
            return names.index(wanted)
    listed = ", ".join(repr(found.strip()[:40]) for found in header[:_LISTED])
    raise Refused("missing_column", f"The file has no column {name[:40]!r}; it has {listed}.")


def structure_column(sheet: Sheet, sample: Sequence[Line], name: str) -> int | None:
    """Returns the column of the structures; None where they are records of their own.

    Args:
        sheet: The table.
        sample: Its first rows.
        name: The column that the caller named, or an empty text.

    Raises:
        Refused: `missing_column`, `no_structures` or `no_header`.
    """
    if name:
        return column_named(sheet.header, name)
    if sheet.records or sheet.structure is not None:
        return sheet.structure
    plain = [header.strip().casefold() for header in sheet.header]
    for usual in _USUAL:
        if usual in plain:
            return plain.index(usual)
    from agent.stores.naming import role_of  # loads the documents of the wire: seldom needed

    named = [at for at, header in enumerate(sheet.header) if role_of(header) == "structure"]
    if len(named) == 1:
        return named[0]
    return _by_content(sheet.header, sample, named or list(range(len(sheet.header))))


def _by_content(header: Sequence[str], sample: Sequence[Line], columns: Sequence[int]) -> int:
    shares = {
        at: _readable([line.cells[at] for line in sample if at < len(line.cells)]) for at in columns
    }
    best = max(columns, key=lambda at: shares[at], default=-1)
    if best < 0 or shares[best] < _LEAST_SHARE:
        listed = ", ".join(repr(found.strip()[:40]) for found in header[:_LISTED])
        raise Refused(
            "no_structures",
            f"No column of the file is called smiles or holds structures; name one of {listed}.",
        )
    if _is_structure(header[best]):
        raise Refused(
            "no_header",
            "The file's first line is data; give it a header that names its columns, or send it "
            "as SMI.",
        )
    return best


def _readable(cells: Sequence[str]) -> float:
    """Returns which part of the cells are structures; numbers and short codes are none."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    return sum(map(_is_structure, filled)) / len(filled) if filled else 0.0


def _is_structure(text: str) -> bool:
    from agent.features.light import light_mol  # RDKit: most files need none of it here

    if "M  END" in text:
        return True
    if not _SMILES.fullmatch(text.strip()):
        return False
    return not isinstance(light_mol(text.strip(), "smiles"), InvalidStructure)
