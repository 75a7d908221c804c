"""A job's folder: what is in it, and what it says of itself.

request.json   who asked, when, and for what; `input` is the file
table.json     once the file is cut: its header, where the structures are, rows of each part
release.json   which release answers, and what is needed to write its answers down
state.json     how far it is
NNNNN.rows     the caller's own columns of one part (Parquet)
NNNNN.asked    its pieces, a line each
NNNNN.said     the workers' answers to them, one message after the other
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.files import write_atomic

if TYPE_CHECKING:  # a third of a second, for nothing, in the clerk
    from agent.releases.card import ModelCard

REQUEST, INPUT, TABLE, RELEASE, STATE = (
    *("request.json", "input", "table.json"),
    *("release.json", "state.json"),
)
ROWS, ASKED, SAID = "rows", "asked", "said"
Stage = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked; see `REQUEST`.

    Attributes:
        owner: The name of who asked; nobody else sees the job.
        created: When, as text.
        fmt: The input's format, or empty: look.
        structure, id: The columns' names, or empty.
        size: Bytes of the input.
        rows_a_part: How many rows are answered before they are written down together.
        measured: Whether whoever asked may see what the site measured itself.
    """

    job: str
    owner: str
    created: str
    fmt: str
    structure: str
    id: str
    size: int
    rows_a_part: int
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """What the file is; see `TABLE`."""

    header: Sequence[str]
    structure: int | None
    id: int | None
    parts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Task:
    """What an endpoint's column needs."""

    task: str
    unit: str
    transform: str


@dataclass(frozen=True, slots=True)
class Release:
    """Who answers all of a job; see `RELEASE`."""

    release: str
    version: int
    tasks: Sequence[Task]


@dataclass(slots=True)
class State:
    """How far a job is; see `STATE`.

    Attributes:
        total: Rows; None until all of the file was read.
        done, bad: Rows that are answered, and those of them that have no prediction.
        parts: How many parts are answered and on disk.
        problem: A code and a sentence where it failed.
        note: A sentence about what the caller may wonder at.
        finished: When, as text; empty while it is not.
        measured: Whether what the site measured was looked up for some of the rows.
    """

    state: Stage = "queued"
    total: int | None = None
    done: int = 0
    bad: int = 0
    parts: int = 0
    release: str = ""
    problem: Sequence[str] = ()
    note: str = ""
    finished: str = ""
    hostile: int = field(default=0)
    measured: bool = False


def part(folder: Path, number: int, kind: str) -> Path:
    """Returns the path of one part's file."""
    return folder / f"{number:05}.{kind}"


def write(path: Path, entry: Request | Table | Release | State) -> None:
    """Writes one of the documents.

    Raises:
        OSError: The disk is full.
    """
    write_atomic(path, json.dumps(asdict(entry)).encode())


def read_request(folder: Path) -> Request:
    """Reads `REQUEST`.

    Raises:
        OSError: It is not there.
        ValueError, TypeError: It is none.
    """
    return Request(**_read(folder / REQUEST))


def read_table(folder: Path) -> Table:
    """Reads `TABLE`; raises as `read_request`."""
    return Table(**_read(folder / TABLE))


def read_release(folder: Path) -> Release:
    """Reads `RELEASE`; raises as `read_request`."""
    said = _read(folder / RELEASE)
    return Release(**{**said, "tasks": [Task(**task) for task in said["tasks"]]})


def read_state(folder: Path) -> State:
    """Reads `STATE`; raises as `read_request`, and KeyError."""
    said = _read(folder / STATE)
    return State(**{**said, "problem": tuple(said["problem"])})


def release_of(card: "ModelCard") -> Release:
    """Returns what a job has to remember of a release."""
    tasks = [Task(task.task, task.unit, task.transform) for task in card.tasks]
    return Release(card.release_id, card.version, tasks)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found
