"""A table's rows through a profile: every cell that may hold a measurement becomes one item."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from agent.errors import Refused
from agent.records import Assay, Blank, Place, Reading, SetAside, Structure
from agent.stores.binding import MEASURED, NOWHERE, Bound, bind
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
from agent.stores.meaning import Settler, Vocabulary
from agent.stores.profile import AssayColumn, Profile, plain_name

Item = Reading | SetAside | Blank
K = TypeVar("K")
V = TypeVar("V")

_WORDS = (
    *("test", "test_type", "subject", "readout", "condition"),
    *("concentration", "temperature", "dose", "route", "sex", "formulation"),
)
_THIRD_VALUE = "The value is neither of the two directions given; move it to a row of its own."
_MAX_KNOWN = 4_096  # assays as written; a store has few of them and many rows


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
    bound = bind(table.header, table.sheet, profile, lax=lax_columns)
    form = (_Long if profile.shape == "long" else _Wide)(table, profile, bound)
    for row in table.rows:
        if row.fault is not None:
            code, reason = row.fault
            yield from (SetAside(place, code, reason) for place in form.places(row))
        elif any(row.cells.values()):
            yield from form.items(row)
        else:
            yield from map(Blank, form.places(row))


class _Identity:
    """What both forms of a table say of a row alike: its compound, structure and retraction."""

    def __init__(self, table: Table, profile: Profile, bound: Bound) -> None:
        columns = profile.columns
        by_molblock = columns.structure is None and bool(table.molblock_column)
        self.format: Structure = "molblock" if by_molblock else profile.structure_format
        self._structure = table.molblock_column if by_molblock else bound["structure"]
        self._salt = NOWHERE if by_molblock else bound["salt"]
        by_title = columns.compound is None and bool(table.title_column)
        self.compound = table.title_column if by_title else bound["compound"]
        self.number = bound["measurement_id"]
        self.date = bound["date"]
        self._flag = bound["retracted"]
        self._flag_words = Vocabulary(profile.retracted_words)

    def structure(self, cells: Mapping[str, str]) -> str:
        """Returns the parent's structure, or the salt's."""
        return cells.get(self._structure) or cells.get(self._salt, "")

    def retracted(self, cells: Mapping[str, str]) -> bool:
        """Tells whether the row is flagged as retracted."""
        return self._flag in cells and self._flag_words.says(cells[self._flag])


class _Long:
    """A row is one measurement, or the directions of one."""

    def __init__(self, table: Table, profile: Profile, bound: Bound) -> None:
        self._sheet = table.sheet
        self._identity = _Identity(table, profile, bound)
        self._value, self._a_to_b, self._b_to_a = (bound[name] for name in MEASURED)
        self._qualifier, self._unit = bound["qualifier"], bound["unit"]
        self._label, self._assay = bound["label"], bound["assay"]
        headers = {name: bound[name] for name in _WORDS}
        self._words = {name: header for name, header in headers.items() if header != NOWHERE}
        self._assays: dict[tuple[str, ...], Assay] = {}
        self._always = Settler(None, profile)
        self._by_assay = {plain_name(e.assay): Settler(e, profile) for e in profile.map}
        self._by_name: dict[str, Settler | None] = {}  # as written

    def places(self, row: Row) -> list[Place]:
        """Returns where the row's measurements stand."""
        return [Place(row.number, self._sheet, row.column)]

    def items(self, row: Row) -> Iterator[Item]:
        """Returns a row's measurements as they are declared."""
        retracted = self._identity.retracted(row.cells)
        name = row.cells.get(self._assay, "") if self._by_assay else ""
        settler = self._settler(name) if self._by_assay else self._always
        for item in self._raw(row):
            if not isinstance(item, Reading):
                yield item
            elif settler is None:
                yield _unmapped(item, name)
            else:
                yield settler.settle(item, retracted=retracted)

    def _settler(self, name: str) -> Settler | None:
        try:
            return self._by_name[name]
        except KeyError:
            settler = self._by_assay.get(plain_name(name))
            _keep(self._by_name, name, settler)
            return settler

    def _raw(self, row: Row) -> Iterable[Item]:
        cells = row.cells
        value = cells.get(self._value, "")
        a_to_b, b_to_a = cells.get(self._a_to_b, ""), cells.get(self._b_to_a, "")
        place = Place(row.number, self._sheet, row.column)
        try:
            reading = self._reading(cells, value, any((value, a_to_b, b_to_a)), place)
            if not (a_to_b or b_to_a or is_list(value)):
                # A word such as "Positive" may stand in the relation or even the unit column.
                given = reading.value or reading.qualifier or reading.unit
                return (reading if given else Blank(place, reading.measurement_id),)
            both = directions(value if is_list(value) else "", a_to_b, b_to_a)
        except Refused as refused:
            count = max(1, sum(map(count_given, (value, a_to_b, b_to_a))))
            return [SetAside(place, refused.code, refused.reason) for _ in range(count)]
        found = list(_directional(reading, both))
        if value and not is_list(value) and value not in both:
            reason = (
                "The value is neither of the two directions given; move it to a row of its own."
            )
            found.insert(0, SetAside(place, "conflicting_directions", reason))
        return found

    def _reading(
        self, cells: Mapping[str, str], value: str, is_number: bool, place: Place
    ) -> Reading:
        qualifier, unit = cells.get(self._qualifier, ""), cells.get(self._unit, "")
        label = cells.get(self._label, "")
        # The class is the measurement where nothing else is, or where it can be nothing else.
        is_value = not is_number and (not (qualifier or unit) or restates(label))
        identity = self._identity
        return Reading(
            cells.get(identity.compound, ""),
            identity.structure(cells),
            identity.format,
            self._assay_of(cells, "" if is_value else label),
            "",
            qualifier,
            label if is_value else value,
            unit,
            cells.get(identity.date, ""),
            cells.get(identity.number, ""),
            place,
        )

    def _assay_of(self, cells: Mapping[str, str], label: str) -> Assay:
        said = (label, *[cells.get(header, "") for header in self._words.values()])
        try:
            return self._assays[said]
        except KeyError:
            words = dict(zip(self._words, said[1:], strict=True))
            assay = assay_of(Words(**words, label=label))
            _keep(self._assays, said, assay)
            return assay


def _keep(known: dict[K, V], key: K, value: V) -> None:
    if len(known) >= _MAX_KNOWN:  # free text has no end
        known.clear()
    known[key] = value


def _unmapped(item: Reading, name: str) -> SetAside:
    return SetAside(
        item.place,
        "unmapped_assay",
        f"The profile maps no assay {name[:200]!r}; add it as a [[map]].",
        item.compound_id,
        item.measurement_id,
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
        yield derived._replace(unit="ratio", derived=True)


def _one_of(reading: Reading, readout: str, name: str, value: str) -> Reading:
    # A row's number covers several measurements, so the direction makes it one's own.
    number = f"{reading.measurement_id}#{name}" if reading.measurement_id else ""
    assay = reading.assay._replace(readout=readout)
    return reading._replace(assay=assay, value=value, measurement_id=number)


class _Wide:
    """A row is one compound, and each of the profile's assay columns a measurement."""

    def __init__(self, table: Table, profile: Profile, bound: Bound) -> None:
        self._sheet = table.sheet
        self._identity = _Identity(table, profile, bound)
        self._columns = [_Column(entry, profile, bound) for entry in profile.assay]

    def places(self, row: Row) -> list[Place]:
        """Returns where the row's measurements stand."""
        return [Place(row.number, self._sheet, column.name) for column in self._columns]

    def items(self, row: Row) -> Iterator[Item]:
        """Returns a row's measurements as they are declared."""
        cells, identity = row.cells, self._identity
        retracted = identity.retracted(cells)
        compound, structure = cells.get(identity.compound, ""), identity.structure(cells)
        date, number = cells.get(identity.date, ""), cells.get(identity.number, "")
        for column in self._columns:
            place = Place(row.number, self._sheet, column.name)
            # A wide row's number covers many measurements, so the column makes it one's own.
            own = f"{number}#{column.name}" if number else ""
            value = cells.get(column.value, "")
            if not value:
                yield Blank(place, own)
                continue
            reading = Reading(
                *(compound, structure, identity.format, column.assay, column.endpoint),
                *(cells.get(column.qualifier, ""), value, cells.get(column.unit, "")),
                *(date, own, place),
            )
            yield column.settler.settle(reading, retracted=retracted)


class _Column:
    """An assay's column, its headers found."""

    def __init__(self, entry: AssayColumn, profile: Profile, bound: Bound) -> None:
        self.name = entry.column
        self.endpoint = entry.endpoint
        self.assay = Assay(test=entry.column)
        self.value = bound.header(entry.column)
        self.qualifier = bound.header(entry.qualifier_column)
        self.unit = bound.header(entry.unit_column)  # the declared one follows in `meaning`
        self.settler = Settler(entry, profile)
