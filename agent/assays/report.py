"""The ingest report: what every file came to, why rows were set aside, what each task has.

Pure but for reading parts. Structures and values are left out unless `detailed`: a steward can
send the report to a colleague.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from agent.assays.endpoints import EndpointIndex
from agent.assays.merge import fates
from agent.assays.parts import SET_ASIDE
from agent.assays.report_tasks import Needs, duplicates, task_reports
from agent.assays.report_words import Wording, unquoted
from agent.errors import Refused

Report = dict[str, Any]

_COUNTS = ("read", "used", "set_aside", "blank")
_EXAMPLES = 3
_COLUMNS = (
    "compound_key",
    "task",
    "qualifier",
    "value",
    "kind",
    "native",
    "native_qualifier",
    "unit",
    "date",
)
_FATES = {name: name for name in ("replaced", "retracted", "withdrawn")} | {"used": "current"}
_DETAILS = ("compound_id", "smiles")


@dataclass(frozen=True, slots=True)
class StoreRow:
    """A store as the ledger and the configuration know it."""

    name: str
    kind: str
    state: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file as the ledger knows it.

    Attributes:
        store: The store's name.
        path: Relative to the store's folder.
        state, why: `ingested`, `refused` with its sentence, or on its way.
        read, used, set_aside, blank: Counts of measurements; the first is the others' sum.
        part: The folder of its part, or `None`; two names of one content have the same part.
        sha256: Of its content, or empty.
    """

    store: str
    path: str
    state: str
    why: str = ""
    read: int = 0
    used: int = 0
    set_aside: int = 0
    blank: int = 0
    part: Path | None = None
    sha256: str = ""

    @property
    def name(self) -> str:
        """Store and path, as everywhere else."""
        return f"{self.store}/{self.path}"


@dataclass(frozen=True, slots=True)
class About:
    """What the report says of itself.

    Attributes:
        silo: Its name, or empty where it is not enrolled.
        made_at: RFC 3339.
        needs: What a task needs before it is trained.
        detailed: Whether structures and values may be shown.
    """

    silo: str
    made_at: str
    needs: Needs = field(default_factory=Needs)
    detailed: bool = False


def build_report(
    about: About, stores: Sequence[StoreRow], files: Sequence[FileRow], index: EndpointIndex
) -> Report:
    """Puts the report together; everything in it is JSON.

    Args:
        about: Who, when, and how much to show.
        stores: In the order of the configuration.
        files: Oldest first: a later measurement replaces an earlier one of the same id.
        index: The endpoints.
    """
    counted = _counted(files)
    rows, faults = _measurements(counted, detailed=about.detailed)
    frame = rows.filter(pl.col("fate") == "used").drop("fate")
    tasks = task_reports(frame, index, about.needs, detailed=about.detailed)
    reasons, wording = _reasons(counted, detailed=about.detailed)
    return {
        **asdict(about),
        "totals": _totals(counted, rows, tasks, len(files)),
        "sources": [_source(store, files, counted, rows) for store in stores],
        "files": _files(files),
        "reasons": reasons,
        "tasks": tasks,
        "duplicates": duplicates(frame),
        "unlock": {
            "waiting": [_waiting(task) for task in tasks if not task["quorum"]["met"]],
            "unmapped": wording.of("unmapped_assay"),
            "units": wording.of("unknown_unit"),
        },
        "faults": faults,
    }


def _counted(files: Sequence[FileRow]) -> list[FileRow]:
    """Returns the files that were read, each content once, as `onggi status` counts them."""
    parts: dict[Path, FileRow] = {}
    for file in files:
        if file.state == "ingested" and file.part is not None:
            parts.setdefault(file.part, file)
    return list(parts.values())


def _measurements(files: Sequence[FileRow], *, detailed: bool) -> tuple[pl.DataFrame, list[str]]:
    """Joins the parts, with what became of each measurement.

    Returns:
        The columns that are counted, `store` and `fate`; and a sentence for each part that cannot
        be read.
    """
    columns = (*_COLUMNS, *(_DETAILS if detailed else ()))
    parts, faults = [], []
    for file in files:
        part = [(file.store, file.part)] if file.part else []
        try:
            fates(part, columns)  # one damaged part must not take the others with it
        except Refused as refused:
            faults.append(f"{file.name}: {refused.reason}")
        else:
            parts += part
    rows = fates(parts, columns).select(*columns, "store", "fate")
    # 8 bytes for 64, of a million measurements; two of a million compounds never meet.
    return rows.with_columns(pl.col("compound_key").hash()), faults


def _fates(rows: pl.DataFrame) -> dict[str, int]:
    """Counts what became of the measurements that were used when they were read."""
    found = dict(rows.group_by("fate").len().rows())
    return {name: int(found.get(fate, 0)) for fate, name in _FATES.items()}


def _totals(
    counted: Sequence[FileRow], rows: pl.DataFrame, tasks: Sequence[Report], files: int
) -> Report:
    return {
        **{name: sum(getattr(file, name) for file in counted) for name in _COUNTS},
        **_fates(rows),
        "files": files,
        "compounds": rows.filter(pl.col("fate") == "used")["compound_key"].n_unique(),
        "tasks": sum(task["measurements"] > 0 for task in tasks),
        "ready": sum(task["quorum"]["met"] for task in tasks),
    }


def _source(
    store: StoreRow, files: Sequence[FileRow], counted: Sequence[FileRow], rows: pl.DataFrame
) -> Report:
    states = Counter(file.state for file in files if file.store == store.name)
    own = [file for file in counted if file.store == store.name]
    sums = {name: sum(getattr(file, name) for file in own) for name in _COUNTS}
    now = _fates(rows.filter(pl.col("store") == store.name))
    return {**asdict(store), "files": dict(sorted(states.items())), **sums, **now}


def _files(files: Sequence[FileRow]) -> list[Report]:
    first: dict[Path, str] = {}
    rows = []
    for file in files:
        same = first.setdefault(file.part, file.name) if file.part else file.name
        row = {name: getattr(file, name) for name in ("state", "why", *_COUNTS, "sha256")}
        rows.append({"file": file.name, **row, "same_as": "" if same == file.name else same})
    return rows


def _reasons(counted: Sequence[FileRow], *, detailed: bool) -> tuple[list[Report], Wording]:
    """Counts what was set aside by code, with the first places, most frequent first."""
    wording = Wording(detailed=detailed)
    found: dict[str, Report] = {}
    for file in counted:
        for line in _set_aside(file):
            code, reason = str(line["code"]), str(line["reason"])
            wording.add(code, reason)
            entry = found.setdefault(code, {"code": code, "count": 0, "files": {}, "examples": []})
            entry["count"] += 1
            entry["files"][file.name] = entry["files"].get(file.name, 0) + 1
            if len(entry["examples"]) < _EXAMPLES:
                place = {name: line.get(name, "") for name in ("row", "sheet", "column")}
                said = reason if detailed else unquoted(reason)
                entry["examples"].append({"file": file.name, **place, "reason": said})
    return sorted(found.values(), key=lambda entry: (-entry["count"], entry["code"])), wording


def _set_aside(file: FileRow) -> Iterator[Report]:
    if file.part is None:
        return
    try:
        with (file.part / SET_ASIDE).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    except (OSError, ValueError):
        return  # a damaged part is told of where its measurements are read


def _waiting(task: Report) -> Report:
    return {name: task[name] for name in ("task", "name")} | {"missing": task["quorum"]["missing"]}
