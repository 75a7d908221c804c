"""A first profile from a file itself: for a person to correct, never to read with as it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from agent.errors import Refused
from agent.stores.kinds import SUFFIXES
from agent.stores.naming import Match, Role, matches, role_of, unit_of
from agent.stores.patterns import Pattern, Pile, look_at, piles
from agent.stores.readers import open_tables
from agent.stores.rows import Table
from agent.wire.documents import Endpoint

Converts = Callable[[str, Endpoint | None], bool]
"""Tells whether a unit is known, and whether it converts to an endpoint's own."""

_SAMPLE_ROWS = 20_000
_LOOKED_AT = 2_000
_CERTAIN, _LIKELY, _WEAK = 0.95, 0.7, 0.4
_TEXTS = frozenset({"compound", "unit", "assay", "measurement_id"})
_MOST_ASSAYS = 200


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file and what it is taken for.

    Attributes:
        header: As written.
        role: A key of `[columns]`, `numbers` for an assay of a wide table, or empty: not used.
        confidence: From 0 to 1.
        why: What speaks for it.
        pattern: What its cells look like.
        unit: From the header, or empty.
        unit_known: Whether the unit is one that can be converted.
        endpoint: The catalogue's endpoint that fits best, or `None`.
        fits_unit: Whether the unit converts to the endpoint's.
        piles: Numbers at which the values pile up.
        qualifier_column: The column of its qualifiers, or empty.
    """

    header: str
    role: str
    confidence: float
    why: str
    pattern: Pattern
    unit: str = ""
    unit_known: bool = False
    endpoint: Endpoint | None = None
    fits_unit: bool = False
    piles: tuple[Pile, ...] = ()
    qualifier_column: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a file's columns are taken for.

    Attributes:
        kind: The kind of store that reads the file.
        sheet: The workbook's sheet, or empty.
        long: Whether a row is a measurement.
        structure_format: As in a profile.
        columns: Every column, in the file's order.
        assays: In long form: each assay's name, with the endpoint that fits, if any.
    """

    kind: str
    sheet: str
    long: bool
    structure_format: str
    columns: tuple[Column, ...]
    assays: tuple[tuple[str, Endpoint | None, float], ...] = ()


@dataclass(slots=True)
class _Sample:
    table: Table
    cells: dict[str, list[str]] = field(default_factory=dict)


def suggest(
    path: Path, endpoints: Sequence[Endpoint], converts: Converts, sheet: str = ""
) -> Suggestion:
    """Looks at a file and says what its columns may mean.

    Args:
        path: CSV, TSV, XLSX, Parquet or SDF.
        endpoints: The catalogue's and the silo's own; may be empty.
        converts: Judges units.
        sheet: The sheet of a workbook that has several.

    Raises:
        Refused: The file cannot be read; see `readers.read`.
    """
    kind = "sdf" if path.suffix.lower() in SUFFIXES["sdf"] else "table"
    if path.suffix.lower() not in SUFFIXES["table"]:
        listed = ", ".join(SUFFIXES["table"])
        raise Refused("wrong_kind", f"A profile is suggested for {listed}; export the file anew.")
    for table in open_tables(path, "table", sheet):
        sample = _sampled(table)
        found = [_column(header, sample.cells[header], endpoints) for header in sample.cells]
        return _settled(kind, sample, found, endpoints, converts)
    raise Refused("empty_file", "The file holds no table; export it again.")


def _sampled(table: Table) -> _Sample:
    own = {table.molblock_column, table.title_column}
    sample = _Sample(table, {name: [] for name in table.header if name and name not in own})
    for row in islice(table.rows, _SAMPLE_ROWS):
        for name, cells in sample.cells.items():
            cells.append(row.cells.get(name, ""))
    return sample


def _column(header: str, cells: list[str], endpoints: Sequence[Endpoint]) -> Column:
    """Judges a column by itself."""
    pattern, role = look_at(cells[:_LOOKED_AT]), role_of(header)
    chosen, confidence, why = _judged(pattern, role)
    if chosen != "numbers":
        return Column(header, chosen, confidence, why, pattern)
    best = matches(header, endpoints)
    return Column(
        header,
        "numbers",
        confidence * (best[0].score if best else 0.5),
        why + _said(best),
        pattern,
        unit=unit_of(header),
        endpoint=best[0].endpoint if _clear(best) else None,
        piles=tuple(piles(cells)),
    )


def _judged(pattern: Pattern, role: Role) -> tuple[str, float, str]:
    """Returns the role, the confidence in it, and what speaks for it."""
    share = f"{pattern.share:.0%} of the cells"
    if pattern.look == "number":
        return _judged_numbers(pattern, role, share)
    if pattern.look in {"structure", "date", "qualifier"}:
        if role == pattern.look:
            return pattern.look, pattern.share * _CERTAIN, f"the header and {share}"
        return pattern.look, pattern.share * _LIKELY, share
    if pattern.look != "blank" and role in _TEXTS:
        return role, _LIKELY, "the header"
    if pattern.look == "name":
        return "compound", _WEAK, "texts that hardly repeat"
    return "", 0.0, "nothing known speaks for it"


def _judged_numbers(pattern: Pattern, role: Role, share: str) -> tuple[str, float, str]:
    if role == "value":
        return "value", pattern.share * _CERTAIN, f"the header and {share}"
    if not (pattern.whole and pattern.unique == 1.0):
        return "numbers", pattern.share, share
    if role in {"compound", "measurement_id"}:
        return role, _LIKELY, "the header, and whole numbers that never repeat"
    return "measurement_id", _WEAK, "whole numbers that never repeat"


def _clear(best: Sequence[Match]) -> bool:
    # Two endpoints that fit equally are a question for a person.
    return len(best) == 1 or (len(best) > 1 and best[0].score > best[1].score)


def _said(best: Sequence[Match]) -> str:
    if not best:
        return "; no endpoint of the catalogue has such a name"
    if not _clear(best):
        alike = [match.endpoint.id for match in best if match.score == best[0].score]
        return f"; {' and '.join(alike)} fit equally"
    return f"; the name fits {best[0].endpoint.id} by {best[0].score:.0%}"


def _settled(
    kind: str,
    sample: _Sample,
    found: list[Column],
    endpoints: Sequence[Endpoint],
    converts: Converts,
) -> Suggestion:
    """Judges the columns together: each role once, and long or wide."""
    best: dict[str, Column] = {}
    for column in found:
        if column.role not in {"numbers", ""} and column.confidence > _confidence(
            best.get(column.role)
        ):
            best[column.role] = column
    long = "value" in best
    if long:
        found = _with_names(found, sample, endpoints, best)
    columns = tuple(_placed(at, found, best, long, converts) for at in range(len(found)))
    molblock = "structure" not in best and bool(sample.table.molblock_column)
    names = sample.cells[best["assay"].header] if long and "assay" in best else []
    return Suggestion(
        kind=kind,
        sheet=sample.table.sheet,
        long=long,
        structure_format="molblock" if molblock else "smiles",
        columns=columns,
        assays=tuple(_assay(name, endpoints) for name in dict.fromkeys(filter(None, names))),
    )


def _with_names(
    found: list[Column],
    sample: _Sample,
    endpoints: Sequence[Endpoint],
    best: dict[str, Column],
) -> list[Column]:
    """Takes as the assays' names the column whose words fit the most endpoints."""
    chosen, most = -1, 0
    for at, column in enumerate(found):
        words = set(sample.cells[column.header]) - {""}
        if column.role not in {"", "assay"} or not 0 < len(words) <= _MOST_ASSAYS:
            continue
        known = sum(bool(matches(word, endpoints)) for word in words)
        if known > most:
            chosen, most = at, known
    if chosen >= 0:
        why = f"{most} of its words fit endpoints of the catalogue"
        best["assay"] = replace(found[chosen], role="assay", confidence=_LIKELY, why=why)
        found = [*found[:chosen], best["assay"], *found[chosen + 1 :]]
    return found


def _confidence(column: Column | None) -> float:
    return column.confidence if column else 0.0


def _placed(
    at: int, found: list[Column], best: dict[str, Column], long: bool, converts: Converts
) -> Column:
    column = found[at]
    if column.role == "numbers" and not long:
        before, after = found[at - 1] if at else None, found[at + 1 : at + 2]
        beside = [c for c in (before, *after) if c is not None and c.role == "qualifier"]
        return replace(
            column,
            unit_known=converts(column.unit, None),
            fits_unit=column.endpoint is not None and converts(column.unit, column.endpoint),
            qualifier_column=beside[0].header if beside else "",
        )
    only_long = column.role in {"qualifier", "unit", "assay"}
    if best.get(column.role) is column and (long or not only_long):
        return column
    why = f"not needed here, or another fits better; {column.why}" if column.role else column.why
    return replace(column, role="", why=why)


def _assay(name: str, endpoints: Sequence[Endpoint]) -> tuple[str, Endpoint | None, float]:
    best = matches(name, endpoints)
    clear = _clear(best)
    return name, best[0].endpoint if clear else None, best[0].score if clear else 0.0
