"""Where each training row of a compound came from, and what became of it; only reads."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import Refused
from agent.keeper.snapshots import current_parts
from agent.ledger.book import Ledger

if TYPE_CHECKING:
    import polars as pl

    from agent.assays.parts import Source


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a store that speaks of the compound.

    Attributes:
        compound_id: The silo's own number, as written there.
        task: Its task, or empty where the row was set aside.
        qualifier, value, unit: In the endpoint's canonical unit; `value` is `None` where the row
            was set aside.
        written_unit: The unit as it stands in the file.
        date, measurement_id: As curated.
        store, file: Where it was read; `file` is relative to the store's folder.
        sheet, row, column: The place in the file, as a person sees it.
        sha256: Of the raw file.
        profile_version, profile_sha256: Of the mapping profile that it was read with.
        fate: `used`, `replaced`, `retracted`, `withdrawn` or `set aside`.
        reason: For people, where it was not used.
        by: Place of the later row that replaced or withdrew it, or empty.
    """

    compound_id: str
    task: str
    qualifier: str
    value: float | None
    unit: str
    written_unit: str
    date: str
    measurement_id: str
    store: str
    file: str
    sheet: str
    row: int
    column: str
    sha256: str
    profile_version: int
    profile_sha256: str
    fate: str
    reason: str = ""
    by: str = ""


_COLUMNS = (
    *("compound_key", "compound_id", "task", "native_qualifier", "native", "unit", "date"),
    *("row", "sheet", "column", "measurement_id", "item"),
)
_WHY = {
    "replaced": "A later row with the same measurement number replaced it.",
    "retracted": "A later row says that it was retracted.",
    "withdrawn": "A later row with the same measurement number could not be used.",
}


def trace(ledger: Ledger, parts: Path, compound: str, units: Mapping[str, str]) -> list[Step]:
    """Finds every row of a compound in the data as they are now.

    Args:
        ledger: Read only.
        parts: Where curated files are.
        compound: The silo's own compound number, or else a SMILES. By number also the rows with
            another number are found that hold the same structure.
        units: The canonical unit of each task.

    Raises:
        Refused: `unknown_compound`, or `damaged_part`.
    """
    import polars as pl

    from agent.assays.merge import fates

    order = [(part.store, Path(part.folder)) for part in current_parts(ledger, parts)]
    rows = fates(order, _COLUMNS)
    by_number = rows.filter(pl.col("compound_id") == compound)
    aside = [step for _, folder in order for step in _set_aside(folder, compound)]
    keys = set(by_number["compound_key"])
    if not keys and not aside:
        keys = {_key(compound)}
    chosen = rows.filter(pl.col("compound_key").is_in(keys))
    if chosen.is_empty() and not aside:
        raise Refused(
            "unknown_compound",
            "No row of this compound was read; check the number, or give its structure.",
        )
    book = _Book([folder for _, folder in order])
    steps = [
        _step(row, book, rows, units.get(row["task"], "")) for row in chosen.iter_rows(named=True)
    ]
    return steps + aside


def _key(smiles: str) -> str:
    from agent.assays.structures import identify
    from agent.records import InvalidStructure

    found = identify(smiles, "smiles")
    if isinstance(found, InvalidStructure):
        raise Refused(
            "unknown_compound",
            f"No row has this compound number, and it is no usable SMILES either: {found.cause}",
        )
    return found.key


class _Book:
    """Knows where each part came from, and the places of its rows that were set aside."""

    def __init__(self, folders: Sequence[Path]) -> None:
        from agent.assays.parts import read_source

        self._folders = folders
        self.sources = [read_source(folder) for folder in folders]

    def place(self, rows: "pl.DataFrame", part: int, item: int) -> str:
        """Returns the file, sheet and row of an item."""
        import polars as pl

        found = rows.filter((pl.col("part") == part) & (pl.col("item") == item))
        lines: Iterator[dict[str, Any]] = found.iter_rows(named=True)
        if found.is_empty():
            lines = (line for line in _lines(self._folders[part]) if line["item"] == item)
        line = next(lines, None)
        source = self.sources[part]
        return _name(source) + (f" {_words(line)}" if line else "")


def _words(line: dict[str, Any]) -> str:
    sheet = f"sheet {line['sheet']} " if line["sheet"] else ""
    return f"{sheet}row {line['row']}" + (f" column {line['column']}" if line["column"] else "")


def _name(source: "Source") -> str:
    return source.path.removeprefix(f"{source.store}/")


def _step(row: dict[str, Any], book: _Book, rows: "pl.DataFrame", unit: str) -> Step:
    source, fate = book.sources[row["part"]], str(row["fate"])
    by = "" if fate == "used" else book.place(rows, row["last_part"], row["last_item"])
    return Step(
        compound_id=row["compound_id"],
        task=row["task"],
        qualifier=row["native_qualifier"],
        value=row["native"],
        unit=unit,
        written_unit=row["unit"],
        date=row["date"],
        measurement_id=row["measurement_id"],
        sheet=row["sheet"],
        row=row["row"],
        column=row["column"],
        fate=fate,
        reason=_WHY.get(fate, ""),
        by=by,
        **_origin(source),
    )


def _origin(source: "Source") -> dict[str, Any]:
    return {
        "store": source.store,
        "file": _name(source),
        "sha256": source.sha256,
        "profile_version": source.profile_version,
        "profile_sha256": source.profile_sha256,
    }


def _set_aside(folder: Path, compound_id: str) -> Iterator[Step]:
    """Yields the rows with this compound number that could not be used."""
    from agent.assays.parts import read_source

    for line in _lines(folder):
        if line.get("compound_id") != compound_id:
            continue
        yield Step(
            compound_id=compound_id,
            task="",
            qualifier="",
            value=None,
            unit="",
            written_unit="",
            date="",
            measurement_id=str(line["measurement_id"]),
            sheet=str(line["sheet"]),
            row=int(str(line["row"])),
            column=str(line["column"]),
            fate="set aside",
            reason=str(line["reason"]),
            **_origin(read_source(folder)),
        )


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    with (folder / "set_aside.ndjson").open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
