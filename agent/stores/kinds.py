"""The kinds of store and the files they take; it imports no reader, so the keeper may ask."""

from typing import Literal

StoreKind = Literal["kmelloddy", "table", "sdf", "spool"]

SUFFIXES: dict[StoreKind, tuple[str, ...]] = {
    "kmelloddy": (".xlsx", ".csv"),
    "table": (".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".sdf", ".sd"),
    "sdf": (".sdf", ".sd"),
    "spool": (".ndjson",),
}
"""File name endings that a store of each kind reads, in lower case."""


def patterns(kind: StoreKind) -> tuple[str, ...]:
    """Returns the kind's file name patterns as `watch.sweep` takes them, in lower case."""
    return tuple(f"*{suffix}" for suffix in SUFFIXES[kind])
