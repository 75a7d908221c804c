"""The one door to every store's files: a path, a kind and a profile in, readings out."""

from collections.abc import Callable, Iterator
from pathlib import Path

from agent.errors import Refused
from agent.stores.archive import inspect
from agent.stores.binding import normalized_header
from agent.stores.kinds import SUFFIXES, StoreKind
from agent.stores.parquet import read_parquet
from agent.stores.profile import KMELLODDY, Profile
from agent.stores.rows import Item, Table, readings
from agent.stores.sdf import read_sdf
from agent.stores.sheets import read_sheet
from agent.stores.spool import read_batch
from agent.stores.tables import read_table
from agent.stores.workbook import read_workbook

Opener = Callable[[Path], Iterator[Table]]

_BY_SUFFIX: dict[str, Opener] = {
    ".parquet": read_parquet,
    ".sdf": read_sdf,
    ".sd": read_sdf,
    ".ndjson": read_batch,
}
# Their files bring only the columns they have: an older template, a record's own properties.
_LAX_KINDS = frozenset({"kmelloddy", "sdf"})
_LAX_SUFFIXES = frozenset({".sdf", ".sd"})
_OTHER_FORM = frozenset({"missing_sheet", "missing_column"})
_STRUCTURES = frozenset(
    normalized_header(name)
    for name in (KMELLODDY.columns.structure, KMELLODDY.columns.salt)
    if name
)
_VALUES = frozenset(
    normalized_header(name)
    for name in (
        KMELLODDY.columns.value,
        KMELLODDY.columns.value_a_to_b,
        KMELLODDY.columns.value_b_to_a,
    )
    if name
)


def read(path: Path, kind: StoreKind, profile: Profile) -> Iterator[Item]:
    """Reads one file of a store.

    Yields:
        A `Reading`, a `SetAside` or a `Blank` for every measurement that the file could hold
        (a row in long form, a row's assay column in wide form), in the file's order.

    Raises:
        Refused: The file as a whole cannot be used: `wrong_kind`, `unreadable_file`,
            `empty_file`, `unknown_encoding`, `missing_sheet`, `missing_column`,
            `ambiguous_column`, `too_many_columns`, `too_many_cells`, `too_large`,
            `macros`. It is raised while iterating.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES[kind]:
        raise Refused(
            "wrong_kind",
            f"A {kind} store reads {', '.join(SUFFIXES[kind])}; "
            f"move this {path.suffix or 'file'} elsewhere.",
        )
    lax = kind in _LAX_KINDS or suffix in _LAX_SUFFIXES
    for table in open_tables(path, kind, profile.sheet, profile.header_row):
        yield from readings(table, profile, lax_columns=lax)


def is_standard(path: Path) -> bool:
    """Tells whether a file is in the K-MELLODDY standard format, by its sheets and headers.

    Raises:
        Refused: It cannot be opened at all; see `read`.
    """
    if path.suffix.lower() not in SUFFIXES["kmelloddy"]:
        return False
    try:
        header = next(open_tables(path, "kmelloddy")).header
    except (Refused, StopIteration) as error:
        if isinstance(error, Refused) and error.code not in _OTHER_FORM:
            raise
        return False
    found = {normalized_header(name) for name in header}
    return bool(found & _STRUCTURES) and bool(found & _VALUES)


def open_tables(
    path: Path, kind: StoreKind, sheet: str = "", header_row: int | None = None
) -> Iterator[Table]:
    """Opens a file of a kind by its name's ending; see `read` for what is raised."""
    suffix = path.suffix.lower()
    if suffix == ".xlsx" and kind == "kmelloddy":
        inspect(path)
        return read_workbook(path)
    if suffix == ".xlsx":
        return read_sheet(path, sheet, header_row)
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix](path)
    return read_table(path, header_row)
