"""The one door to every store's files: a path, a kind and a profile in, readings out."""

from collections.abc import Callable, Iterator
from pathlib import Path

from agent.errors import Refused
from agent.stores.kinds import SUFFIXES, StoreKind
from agent.stores.profile import Profile
from agent.stores.rows import Item, Table, readings
from agent.stores.sdf import read_sdf
from agent.stores.spool import read_batch
from agent.stores.tables import read_table
from agent.stores.workbook import read_workbook

Opener = Callable[[Path], Iterator[Table]]

_BY_KIND: dict[StoreKind, Opener] = {
    "kmelloddy": read_table,
    "table": read_table,
    "sdf": read_sdf,
    "spool": read_batch,
}
# Their files bring only the columns they have: an older template, a record's own properties.
_LAX_KINDS = frozenset({"kmelloddy", "sdf"})


def read(path: Path, kind: StoreKind, profile: Profile) -> Iterator[Item]:
    """Reads one file of a store.

    Yields:
        A `Reading`, a `SetAside` or a `Blank` for every measurement that the file could hold
        (a row in long form, a row's assay column in wide form), in the file's order.

    Raises:
        Refused: The file as a whole cannot be used: `wrong_kind`, `unreadable_file`,
            `empty_file`, `unknown_encoding`, `missing_sheet`, `missing_column`,
            `ambiguous_column`, `too_many_columns`. It is raised while iterating.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES[kind]:
        raise Refused(
            "wrong_kind",
            f"A {kind} store reads {', '.join(SUFFIXES[kind])}; "
            f"move this {path.suffix or 'file'} elsewhere.",
        )
    opener = read_workbook if suffix == ".xlsx" else _BY_KIND[kind]
    for table in opener(path):
        yield from readings(table, profile, lax_columns=kind in _LAX_KINDS)
