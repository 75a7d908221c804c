"""Small real files of every kind of store, over compounds that are easy to make."""

import csv
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from rdkit import Chem
from xlsxwriter import Workbook

HEADER = (
    *("Chemical ID", "SMILES_Structure_Parent", "Test", "Test_Type", "Test_Subject"),
    *("Measurement_Type", "Measurement_Relation", "Measurement_Value", "Measurement_Unit"),
)
RINGS = ("c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccsc1", "c1ccoc1", "C1CCNCC1", "c1cnc[nH]1")

WIDE_PROFILE = """\
version = 1
[columns]
compound = "ID"
structure = "SMILES"
[[assay]]
column = "sol"
endpoint = "solubility"
unit = "uM"
"""
SDF_PROFILE = """\
version = 1
structure_format = "molblock"
[columns]
compound = "ID"
[[assay]]
column = "sol"
endpoint = "solubility"
unit = "uM"
"""
LONG_PROFILE = """\
version = 1
[columns]
compound = "compound"
structure = "smiles"
measurement_id = "id"
date = "updated_at"
test_type = "test_type"
value = "value"
"""

Cells = tuple[str | float, ...]


def compounds(chains: Sequence[int]) -> Iterator[tuple[str, str, float]]:
    """Yields number, SMILES and a value for every ring with every length of chain."""
    for chain in chains:
        for ring_number, ring in enumerate(RINGS):
            yield f"c{chain}-{ring_number}", "C" * chain + ring, 0.3 * chain - 0.2 * ring_number


def logbb(number: str, smiles: str, value: float | str) -> Cells:
    """A workbook's row."""
    return (number, smiles, "Brain_penetration", "logBB", "Mouse", "logBB", "=", value, "")


def solubility(number: str, smiles: str, value: float | str, unit: str = "uM") -> Cells:
    """A workbook's row."""
    return (number, smiles, "Solubility", "Solubility", "", "Solubility", "=", value, unit)


def workbook(path: Path, rows: Sequence[Cells]) -> None:
    """Writes a K-MELLODDY workbook under a hidden name and shows it."""
    hidden = path.with_name(f".{path.name}")
    book = Workbook(hidden, {"strings_to_formulas": False})  # "=" is a relation here
    sheet = book.add_worksheet("데이터")
    sheet.write_row(0, 0, ["K-MELLODDY"])
    sheet.write_row(1, 0, HEADER)
    for number, row in enumerate(rows, start=2):
        sheet.write_row(number, 0, row)
    book.close()
    hidden.rename(path)


def wide_csv(path: Path, rows: Sequence[tuple[str, str, float | str]]) -> None:
    """Writes a CSV with one compound a row."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["ID", "SMILES", "sol"])
        writer.writerows(rows)


def sdf(path: Path, rows: Sequence[tuple[str, str, float]]) -> None:
    """Writes an SDF with the measurement as a property."""
    with Chem.SDWriter(str(path)) as writer:
        for number, smiles, value in rows:
            molecule = Chem.MolFromSmiles(smiles)
            molecule.SetProp("ID", number)
            molecule.SetProp("sol", str(value))
            writer.write(molecule)


def database(path: Path, rows: Sequence[tuple[str, str, float]]) -> None:
    """Writes a SQLite table of logBB measurements."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE measurement (id TEXT PRIMARY KEY, compound TEXT, smiles TEXT, "
            "test_type TEXT, value TEXT, updated_at TEXT)"
        )
        connection.executemany(
            "INSERT INTO measurement VALUES (?, ?, ?, 'logBB', ?, ?)",
            [
                (f"m{place}", number, smiles, str(value), f"2026-01-05T09:{place % 60:02}:00Z")
                for place, (number, smiles, value) in enumerate(rows)
            ],
        )
    connection.close()
