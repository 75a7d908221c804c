"""A table's rows through a profile: every cell that may hold a measurement becomes one item."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from agent.errors import Refused
from agent.records import Assay, Blank, Place, Reading, SetAside, Structure
from agent.stores.conditions import Words, assay_of, restates
from agent.stores.directions import (
    A_TO_B,
    B_TO_A,
    EFFLUX_READOUT,
    Directions,
    count_given,
    directed,
    directions,
    efflux_ratio,
    is_list,
)
from agent.stores.meaning import is_word, settled
from agent.stores.profile import AssayColumn, Columns, Meaning, Profile, plain_name

Item = Reading | SetAside | Blank

# Quirks of the standard format's headers that occur in the field.
_HEADER_QUIRKS = (
    (re.compile(r"[\s_*]+"), ""),
    (re.compile(r"^measurment"), "measurement"),
    (re.compile(r"^testspecies$"), "testsubject"),
)
_WORDS = (
    *("test", "test_type", "subject", "readout", "condition"),
    *("concentration", "temperature", "dose", "route", "sex", "formulation"),
)
_MEASURED = ("value", "value_a_to_b", "value_b_to_a")
"""Columns of which a long table needs one."""


class Row(NamedTuple):
    """One row: its number as a person sees it, and its cells by exact header, stripped.

    `fault` is a code and a sentence where the row as such cannot be read; `column` is where a
    single cell of a wide sheet was made a row.
    """

    number: int
    cells: Mapping[str, str]
    fault: tuple[str, str] | None = None
    column: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows, wherever they come from.

    Attributes:
        header: The columns' names as written.
        rows: The rows, in order.
        sheet: The workbook's sheet, or an empty text.
        molblock_column: Where an SDF keeps the structure when the profile names no column.
        title_column: Where an SDF keeps the compound's number when the profile names none.
    """

    header: Sequence[str]
    rows: Iterable[Row]
    sheet: str = ""
    molblock_column: str = ""
    title_column: str = ""


def normalized_header(name: str) -> str:
    """Returns a header without case, blanks, underscores, stars and the known misspellings."""
    text = name.strip().lower()
    for pattern, replacement in _HEADER_QUIRKS:
        text = pattern.sub(replacement, text)
    return text


def readings(table: Table, profile: Profile, *, lax_columns: bool = False) -> Iterator[Item]:
    """Applies a profile to a table.

    Args:
        table: What was read.
        profile: What its columns mean.
        lax_columns: Whether a column other than structure and value may be missing (the
            standard format, and SDF, whose records bring only the properties they have).

    Yields:
        One item a measurement: a row in long form, a row's assay column in wide form.

    Raises:
        Refused: `missing_column` or `ambiguous_column`.
    """
    found = _bind(table, profile, lax_columns)
    translate = _long if profile.shape == "long" else _wide
    meanings = _meanings(profile)
    for row in table.rows:
        if row.fault is not None:
            yield from _faulty(row, table, profile)
        elif any(row.cells.values()):
            for item in translate(row, table, profile, found):
                yield _settled(item, row, profile, found, meanings)
        else:
            yield from (Blank(place) for place in _places(row, table, profile))


def _meanings(profile: Profile) -> dict[str, Meaning]:
    """Returns the profile's entries by their column (wide form) or assay (long form)."""
    if profile.shape == "wide":
        return {entry.column: entry for entry in profile.assay}
    return {plain_name(entry.assay): entry for entry in profile.map}


def _settled(
    item: Item,
    row: Row,
    profile: Profile,
    found: Mapping[str, str],
    meanings: Mapping[str, Meaning],
) -> Item:
    """Applies what the profile declares about the reading's assay, date and retraction."""
    if not isinstance(item, Reading):
        return item
    retracted = is_word(_cell(row, found, profile.columns.retracted), profile.retracted_words)
    if not meanings:
        return settled(item, None, profile, retracted=retracted)
    wide = profile.shape == "wide"
    name = item.place.column if wide else _cell(row, found, profile.columns.assay)
    meaning = meanings.get(name if wide else plain_name(name))
    if meaning is None:
        return SetAside(
            item.place,
            "unmapped_assay",
            f"The profile maps no assay {name[:200]!r}; add it as a [[map]].",
            item.compound_id,
            item.measurement_id,
        )
    return settled(item, meaning, profile, retracted=retracted)


def _bind(table: Table, profile: Profile, lax: bool) -> dict[str, str]:
    """Finds, for each column that the profile names, the header as the file writes it."""
    wanted = [name for name in profile.columns.model_dump().values() if name]
    wanted += [entry.column for entry in profile.assay]
    wanted += [entry.qualifier_column for entry in profile.assay if entry.qualifier_column]
    wanted += [entry.unit_column for entry in profile.assay if entry.unit_column]
    found: dict[str, str] = {}
    for name in wanted:
        header = _find(name, table.header)
        if header is not None:
            found[name] = header
    missing = [name for name in (_needed(profile, found) if lax else wanted) if name not in found]
    if missing:
        where = f"sheet {table.sheet!r}" if table.sheet else "file"
        raise Refused(
            "missing_column",
            f"The {where} has no column {', '.join(map(repr, missing))}; "
            "correct the header or the store's profile.",
        )
    return found


def _needed(profile: Profile, found: Mapping[str, str]) -> list[str]:
    """Returns the columns without which a file of the standard format, or an SDF, is none."""
    columns = profile.columns
    given = [getattr(columns, name) in found for name in _MEASURED]
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


def _places(row: Row, table: Table, profile: Profile) -> list[Place]:
    if profile.shape == "long":
        return [Place(row.number, table.sheet, row.column)]
    return [Place(row.number, table.sheet, entry.column) for entry in profile.assay]


def _faulty(row: Row, table: Table, profile: Profile) -> Iterator[SetAside]:
    code, reason = row.fault or ("unreadable_row", "The row cannot be read.")
    yield from (SetAside(place, code, reason) for place in _places(row, table, profile))


def _cell(row: Row, found: Mapping[str, str], name: str | None) -> str:
    return row.cells.get(found.get(name, ""), "") if name else ""


def _structure(
    row: Row, table: Table, profile: Profile, found: Mapping[str, str]
) -> tuple[str, Structure]:
    if profile.columns.structure is None and table.molblock_column:
        return row.cells.get(table.molblock_column, ""), "molblock"
    parent = _cell(row, found, profile.columns.structure)
    return parent or _cell(row, found, profile.columns.salt), profile.structure_format


def _compound(row: Row, table: Table, columns: Columns, found: Mapping[str, str]) -> str:
    if columns.compound is None and table.title_column:
        return row.cells.get(table.title_column, "")
    return _cell(row, found, columns.compound)


def _long(row: Row, table: Table, profile: Profile, found: Mapping[str, str]) -> Iterator[Item]:
    place = Place(row.number, table.sheet, row.column)
    value, a_to_b, b_to_a = (
        _cell(row, found, getattr(profile.columns, name)) for name in _MEASURED
    )
    try:
        reading = _long_reading(row, table, profile, found)
        if not (is_list(value) or a_to_b or b_to_a):
            # A word such as "Positive" may stand in the relation or even the unit column.
            given = reading.value or reading.qualifier or reading.unit
            yield reading if given else Blank(place, reading.measurement_id)
            return
        both = directions(value if is_list(value) else "", a_to_b, b_to_a)
    except Refused as refused:
        count = max(1, sum(map(count_given, (value, a_to_b, b_to_a))))
        yield from (SetAside(place, refused.code, refused.reason) for _ in range(count))
        return
    if value and not is_list(value) and value not in both:
        reason = "The value is neither of the two directions given; move it to a row of its own."
        yield SetAside(place, "conflicting_directions", reason)
    yield from _directional(reading, both)


def _long_reading(row: Row, table: Table, profile: Profile, found: Mapping[str, str]) -> Reading:
    columns = profile.columns
    structure, structure_format = _structure(row, table, profile, found)
    numbers = [_cell(row, found, getattr(columns, name)) for name in _MEASURED]
    qualifier, unit = _cell(row, found, columns.qualifier), _cell(row, found, columns.unit)
    label = _cell(row, found, columns.label)
    # The class is the measurement where nothing else is, or where it can be nothing else.
    is_value = not any(numbers) and (restates(label) or not (qualifier or unit))
    words = Words(
        **{name: _cell(row, found, getattr(columns, name)) for name in _WORDS},
        label="" if is_value else label,
    )
    return Reading(
        compound_id=_compound(row, table, columns, found),
        structure=structure,
        structure_format=structure_format,
        assay=assay_of(words),
        endpoint="",
        qualifier=qualifier,
        value=label if is_value else numbers[0],
        unit=unit,
        date=_cell(row, found, columns.date),
        measurement_id=_cell(row, found, columns.measurement_id),
        place=Place(row.number, table.sheet, row.column),
    )


def _directional(reading: Reading, both: Directions) -> Iterator[Item]:
    """Yields a reading a direction, and the efflux ratio where both are known exactly."""
    if not any(both):
        yield Blank(reading.place, reading.measurement_id)
    for part, direction in zip(both, (A_TO_B, B_TO_A), strict=True):
        if part:
            readout = directed(reading.assay.readout, direction)
            yield _one_of(reading, readout, direction, part)
    if ratio := efflux_ratio(both, reading.qualifier):
        derived = _one_of(reading, EFFLUX_READOUT, EFFLUX_READOUT, ratio)
        yield replace(derived, unit="ratio", derived=True)


def _one_of(reading: Reading, readout: str, name: str, value: str) -> Reading:
    # A row's number covers several measurements, so the direction makes it one's own.
    number = f"{reading.measurement_id}#{name}" if reading.measurement_id else ""
    assay = replace(reading.assay, readout=readout)
    return replace(reading, assay=assay, value=value, measurement_id=number)


def _wide(row: Row, table: Table, profile: Profile, found: Mapping[str, str]) -> Iterator[Item]:
    for entry in profile.assay:
        place = Place(row.number, table.sheet, entry.column)
        if _cell(row, found, entry.column):
            yield _wide_reading(row, table, profile, found, entry)
        else:
            yield Blank(place, _wide_number(row, profile, found, entry))


def _wide_number(row: Row, profile: Profile, found: Mapping[str, str], entry: AssayColumn) -> str:
    # A wide row's number covers many measurements, so the column makes it one's own.
    number = _cell(row, found, profile.columns.measurement_id)
    return f"{number}#{entry.column}" if number else ""


def _wide_reading(
    row: Row, table: Table, profile: Profile, found: Mapping[str, str], entry: AssayColumn
) -> Reading:
    structure, structure_format = _structure(row, table, profile, found)
    return Reading(
        compound_id=_compound(row, table, profile.columns, found),
        structure=structure,
        structure_format=structure_format,
        assay=Assay(test=entry.column),
        endpoint=entry.endpoint,
        qualifier=_cell(row, found, entry.qualifier_column),
        value=_cell(row, found, entry.column),
        unit=_cell(row, found, entry.unit_column),  # the declared one follows in `meaning`
        date=_cell(row, found, profile.columns.date),
        measurement_id=_wide_number(row, profile, found, entry),
        place=Place(row.number, table.sheet, entry.column),
    )
