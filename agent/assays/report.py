"""The ingest report: what every file came to, why rows were set aside, what each task has.

Pure but for reading parts. Structures and values are left out unless `detailed`: a steward can
send the report to a colleague.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from agent.assays.endpoints import EndpointIndex
from agent.assays.parts import SET_ASIDE, load_parts
from agent.assays.report_tasks import duplicates, task_reports
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
    "native",
    "unit",
    "date",
    "measurement_id",
)
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
        min_labels: A task with fewer compounds is not trained, whatever its quorum.
        detailed: Whether structures and values may be shown.
    """

    silo: str
    made_at: str
    min_labels: int = 0
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
    frame, faults = _measurements(counted, detailed=about.detailed)
    tasks = task_reports(frame, index, about.min_labels, detailed=about.detailed)
    reasons, wording = _reasons(counted, detailed=about.detailed)
    return {
        **asdict(about),
        "totals": _totals(counted, frame, tasks, len(files)),
        "sources": [_source(store, files, counted) for store in stores],
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
    """Joins the parts, without measurements that a later one replaces.

    Returns:
        The columns of a part, with `store`; and a sentence for each part that cannot be read.
    """
    frames = [_needed(load_parts([]), "", detailed=detailed)]
    faults = []
    for file in files:
        try:
            found = load_parts([file.part] if file.part else [])
        except Refused as refused:
            faults.append(f"{file.name}: {refused.reason}")
            continue
        frames.append(_needed(found, file.store, detailed=detailed))
    frame = pl.concat(frames, how="diagonal")
    # The last of its store and id stays; a measurement without an id is replaced by none.
    last = pl.struct("store", "measurement_id").is_last_distinct()
    kept = frame.filter(last | (pl.col("measurement_id") == ""))
    return kept.drop("measurement_id"), faults


def _needed(part: pl.DataFrame, store: str, *, detailed: bool) -> pl.DataFrame:
    """Keeps the columns that the report counts: a million measurements are all here at once."""
    wanted = (*_COLUMNS, *(_DETAILS if detailed else ()))
    named = part.select(name for name in part.columns if name in wanted)
    return named.with_columns(
        pl.col("compound_key").hash(),  # 8 bytes for 64; two of a million compounds never meet
        store=pl.lit(store, dtype=pl.String),
    )


def _totals(
    counted: Sequence[FileRow], frame: pl.DataFrame, tasks: Sequence[Report], files: int
) -> Report:
    totals: Report = {name: sum(getattr(file, name) for file in counted) for name in _COUNTS}
    return {
        **totals,
        "files": files,
        "compounds": frame["compound_key"].n_unique(),
        "replaced": totals["used"] - len(frame),
        "tasks": sum(task["measurements"] > 0 for task in tasks),
        "ready": sum(task["quorum"]["met"] for task in tasks),
    }


def _source(store: StoreRow, files: Sequence[FileRow], counted: Sequence[FileRow]) -> Report:
    states = Counter(file.state for file in files if file.store == store.name)
    own = [file for file in counted if file.store == store.name]
    sums = {name: sum(getattr(file, name) for file in own) for name in _COUNTS}
    return {**asdict(store), "files": dict(sorted(states.items())), **sums}


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
