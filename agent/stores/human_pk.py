"""Human PK sheets of the K-MELLODDY workbook: wide, with a three-row header.

A column is described by its three header cells from top to bottom (a group such as the route or the
dose, the parameter, the unit or statistic); merged header cells hold for all of their columns. Each
cell of a parameter becomes one row in the words of the long format. Source: docs/formats.md.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.stores.binding import normalized_header
from agent.stores.conditions import route_of
from agent.stores.merged import Ranges, below, filled, spoiled_rows
from agent.stores.rows import Row, Table

HEADER_ROWS = 3

_READOUTS = {
    "cmax": "Cmax", "tmax": "Tmax", "auc": "AUC", "auclast": "AUClast", "aucinf": "AUCinf",
    "auc0-t": "AUClast", "auc0-inf": "AUCinf", "auc0-∞": "AUCinf", "aucextra": "AUCExtra",
    "t1/2": "T1/2", "t½": "T1/2", "cl": "Clearance", "clearance": "Clearance",
    "cl/f": "Clearance/F", "clearance/f": "Clearance/F", "vd": "Vd", "vd/f": "Vd/F",
    "vss": "Vss", "vz": "Vz", "vz/f": "Vz/F", "mrt": "MRT", "ba": "BA", "f": "BA",
    "f(ba)": "BA", "bioavailability": "BA", "c0": "Co", "co": "Co",
}  # fmt: skip
_IDENTITY = {
    "chemicalid": "Chemical ID", "compoundid": "Chemical ID",
    "smilesstructureparent": "SMILES_Structure_Parent", "smiles": "SMILES_Structure_Parent",
    "smilessalt": "SMILES_Salt", "testdose": "Test_Dose", "dose": "Test_Dose",
    "measurementroute": "Measurement_Route", "route": "Measurement_Route",
    "measurementsex": "Measurement_Sex", "sex": "Measurement_Sex",
    "measurementformulation": "Measurement_Formulation",
    "formulation": "Measurement_Formulation",
    "measurementcondition": "Measurement_Condition", "condition": "Measurement_Condition",
}  # fmt: skip
# Annotations: never measurements, even where they are numbers.
_PASSED_BY = frozenset(
    {"chemicalname", "compoundname", "comment", "no", "no.", "reference", "n", "sd", "se", "cv%"}
    | {"%cv", "cv", "min", "max", "range", "sem", "ci"}
)
_ROUTE = re.compile(r"^(?:pk[_ ])?(iv|po|ip|sc|im)$", re.IGNORECASE)
_DOSE = re.compile(r"^\d+(?:\.\d+)?\s*[mu]?g(?:/(?:kg|m2|body))?$", re.IGNORECASE)
_WITH_UNIT = re.compile(r"^(.*?)\s*[(\[]([^()\[\]]*)[)\]]\s*$")
_UNIT = re.compile(
    r"^[(\[]?([^()\[\]]*(?:/|%)[^()\[\]]*|h|hr|hours?|min|days?)[)\]]?$", re.IGNORECASE
)
_NUMBER = re.compile(r"^[<>=~≤≥\s]*[+-]?[\d.,]+(?:[eE][+-]?\d+)?$")
_MERGED = (
    "merged_value",
    "Its value is merged with the row above; unmerge it and give each row its own.",
)
_HEADER = (
    *("Chemical ID", "SMILES_Structure_Parent", "SMILES_Salt", "Test", "Test_Type"),
    *("Test_Subject", "Test_Dose", "Measurement_Type", "Measurement_Condition"),
    *("Measurement_Route", "Measurement_Sex", "Measurement_Formulation"),
    *("Measurement_Value", "Measurement_Unit"),
)


@dataclass(frozen=True, slots=True)
class _Column:
    """A parameter's column: what its header says of every number in it."""

    at: int
    name: str
    readout: str
    unit: str
    route: str
    dose: str
    spoiled: frozenset[int] = frozenset()


def human_pk(lines: Sequence[list[str]], ranges: Ranges, sheet: str) -> Table:
    """Reads a wide Human PK sheet as a long table; each row of it is one cell of the sheet.

    Args:
        lines: The sheet's cells as text.
        ranges: Its merged ranges.
        sheet: Its name.

    Raises:
        Refused: `too_many_merged`.
    """
    head = filled(lines[:HEADER_ROWS], [entry for entry in ranges if entry[1][0] < HEADER_ROWS])
    labels = [_labels(head, at) for at in range(max(map(len, head), default=0))]
    identity = {at: name for at, parts in enumerate(labels) if (name := _identity(parts))}
    columns = [column for at, parts in enumerate(labels) if (column := _parameter(at, parts))]
    strange = [at for at, parts in enumerate(labels) if _is_strange(parts)]
    if not columns or "SMILES_Structure_Parent" not in identity.values():
        reason = (
            f"The sheet {sheet!r} has no SMILES or no PK parameter in its first three rows; "
            "give its measurements on the sheet 데이터."
        )
        return Table(_HEADER, [Row(1, {}, ("unread_sheet", reason))], sheet)
    down = below(ranges, HEADER_ROWS)
    filled(lines, [entry for entry in down if entry[0][1] in identity])
    columns = [replace(entry, spoiled=spoiled_rows(down, {entry.at})) for entry in columns]
    body = enumerate(lines[HEADER_ROWS:], start=HEADER_ROWS + 1)
    names = {at: " / ".join(labels[at]) for at in strange}
    units = {at: _split(labels[at][-1])[1] for at, name in identity.items() if name == "Test_Dose"}
    return Table(_HEADER, _rows(body, (identity, units), columns, names), sheet)


def _labels(head: Sequence[Sequence[str]], at: int) -> list[str]:
    """Returns a column's header texts from top to bottom, each once."""
    texts = (" ".join(line[at].split()) for line in head if at < len(line))
    return list(dict.fromkeys(text for text in texts if text))


def _identity(labels: Sequence[str]) -> str:
    found = [_IDENTITY.get(normalized_header(_split(text)[0]), "") for text in labels]
    return next(filter(None, found), "") if not _parameter(0, labels) else ""


def _parameter(at: int, labels: Sequence[str]) -> _Column | None:
    if not labels or any(normalized_header(text) in _PASSED_BY for text in labels):
        return None
    readout = unit = route = dose = ""
    for text in labels:
        name, inside = _split(text)
        if not readout and name in _READOUTS:
            readout, unit = _READOUTS[name], inside
        elif readout and not unit and (bare := _UNIT.match(text)):
            unit = bare[1]
        elif found := _ROUTE.match(text):
            route = found[1].lower()
        elif _DOSE.match(text):
            dose = text
    if not readout:
        return None
    return _Column(at, " / ".join(labels), readout, unit, route, dose)


def _split(label: str) -> tuple[str, str]:
    """Returns a header's name in plain letters, and the unit in its brackets."""
    plain = "".join(label.lower().split()).replace("_", "")
    if plain in _READOUTS:  # `F(BA)` has no unit
        return plain, ""
    found = _WITH_UNIT.match(label)
    if not found:
        return plain, ""
    return "".join(found[1].lower().split()).replace("_", ""), found[2].strip()


def _is_strange(labels: Sequence[str]) -> bool:
    known = any(normalized_header(text) in _PASSED_BY for text in labels)
    return not (known or _identity(labels) or _parameter(0, labels))


def _rows(
    body: Iterator[tuple[int, list[str]]],
    identity: tuple[Mapping[int, str], Mapping[int, str]],
    columns: Sequence[_Column],
    strange: Mapping[int, str],
) -> Iterator[Row]:
    for number, line in body:
        shared = _shared(line, *identity)
        for column in columns:
            value = line[column.at] if column.at < len(line) else ""
            cells = _cells(shared, column, value) if value else {}
            yield Row(number, cells, _MERGED if number - 1 in column.spoiled else None, column.name)
        for at, name in strange.items():
            if at < len(line) and _NUMBER.match(line[at]):
                reason = "The column's header is no PK parameter that is known; correct it."
                yield Row(number, {}, ("unknown_column", reason), name)


def _shared(
    line: Sequence[str], identity: Mapping[int, str], units: Mapping[int, str]
) -> dict[str, str]:
    """Returns what a row says of all its numbers; a dose takes the unit of its header."""
    cells = {name: line[at] for at, name in identity.items() if at < len(line)}
    for at, unit in units.items():
        if at < len(line) and unit and _NUMBER.match(line[at]):
            cells["Test_Dose"] = f"{line[at]} {unit}"
    return cells


def _cells(shared: Mapping[str, str], column: _Column, value: str) -> dict[str, str]:
    route = column.route or route_of(shared.get("Measurement_Route", ""))
    cells = dict.fromkeys(_HEADER, "")
    cells.update(shared)
    cells.update(
        {
            "Test": "In_vivo_PK",
            "Test_Type": f"PK_{route}" if route else "PK",
            "Test_Subject": "Human",
            "Test_Dose": column.dose or shared.get("Test_Dose", ""),
            "Measurement_Type": column.readout,
            "Measurement_Route": "",  # it stands in the test type
            "Measurement_Value": value,
            "Measurement_Unit": column.unit,
        }
    )
    return cells
