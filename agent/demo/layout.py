"""What each silo has before Onggi comes: a workbook, CSV and SDF files, or a database."""

import csv
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.demo.data import Fact
from agent.errors import Stop

_HEADER = (
    *("Chemical ID", "Chemical Name", "SMILES_Structure_Parent", "SMILES_Salt"),
    *("Test", "Test_Type", "Test_Subject", "Measurement_Type", "Measurement_Condition"),
    *("Measurement_Relation", "Measurement_Value", "Measurement_Unit", "Comment"),
)
_KMELLODDY = {
    # property: Test, Test_Type, Measurement_Type
    "logbb": ("Brain_penetration", "logBB", "logBB"),
    "bbb": ("Brain_penetration", "BBB", "BBB"),
    "log_s": ("Solubility", "Solubility", "Solubility"),
}

WIDE_PROFILE = """\
# Silo B's CSV exports: one compound a row, one assay a column.
version = 1

[columns]
compound = "ID"
structure = "SMILES"

[[assay]]
column = "{column}"
endpoint = "{endpoint}"
unit = "{unit}"
"""
SDF_PROFILE = """\
# Silo B's SDF export: the molblock is the structure, a property the measurement.
version = 1
structure_format = "molblock"

[columns]
compound = "ID"

[[assay]]
column = "SOL"
endpoint = "solubility"
unit = "log10 mol/L"
"""
LONG_PROFILE = """\
# Silo C's LIMS table: one measurement a row, in the words of the standard format.
version = 1

[columns]
compound = "compound"
structure = "smiles"
measurement_id = "id"
date = "updated_at"
test = "test"
test_type = "test_type"
readout = "readout"
value = "value"
unit = "unit"
"""


def workbook(path: Path, facts: Sequence[Fact]) -> None:
    """Writes a K-MELLODDY workbook: sheet `데이터`, header in row 2, solubility in uM.

    Raises:
        Stop: xlsxwriter is not installed.
    """
    try:
        from xlsxwriter import Workbook
    except ImportError as error:
        raise Stop("The demo writes a workbook; run `pip install onggi[demo]`.") from error
    book = Workbook(path, {"strings_to_formulas": False})  # "=" is a relation here
    sheet = book.add_worksheet("데이터")
    sheet.write_row(0, 0, ["K-MELLODDY ADMET 데이터"])
    sheet.write_row(1, 0, _HEADER)
    for number, fact in enumerate(facts, start=2):
        sheet.write_row(number, 0, _standard_row(fact))
    book.close()


def _standard_row(fact: Fact) -> tuple[str | float, ...]:
    test, test_type, readout = _KMELLODDY[fact.property]
    identity = (f"A-{fact.property}-{fact.number}", fact.name, fact.smiles, "")
    match fact.property:
        case "bbb":
            word = "Positive" if fact.value == "BBB+" else "Negative"
            numbers: tuple[str | float, ...] = (word, "", "")
        case "log_s":
            numbers = ("=", 10.0 ** (float(fact.value) + 6), "uM")
        case _:
            numbers = ("=", float(fact.value), "")
    return (*identity, test, test_type, "", readout, "", *numbers, "")


def wide_csv(path: Path, column: str, facts: Sequence[Fact]) -> None:
    """Writes a CSV with one compound a row and one assay column."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["ID", "Name", "SMILES", column])
        for fact in facts:
            number = f"B-{fact.property}-{fact.number}"
            writer.writerow([number, fact.name, fact.smiles, fact.value])


def sdf(path: Path, facts: Sequence[Fact]) -> None:
    """Writes an SDF with the records of the source as they are."""
    path.write_text("".join(f"{fact.record}$$$$\n" for fact in facts), encoding="utf-8")


def database(path: Path, facts: Sequence[Fact]) -> None:
    """Writes a SQLite table of measurements with an `updated_at` column."""
    start = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE measurement (id TEXT PRIMARY KEY, compound TEXT, smiles TEXT, test TEXT, "
            "test_type TEXT, readout TEXT, value TEXT, unit TEXT, updated_at TEXT)"
        )
        for number, fact in enumerate(facts):
            test, test_type, readout = _KMELLODDY[fact.property]
            unit = "log10 mol/L" if fact.property == "log_s" else ""
            moment = start + timedelta(minutes=7 * (number // 4))  # some share a moment
            identity = f"C-{fact.property}-{fact.number}"
            row = (identity, identity, fact.smiles, test, test_type, readout, fact.value, unit)
            connection.execute(
                "INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, moment.strftime("%Y-%m-%dT%H:%M:%SZ")),
            )
    connection.close()
