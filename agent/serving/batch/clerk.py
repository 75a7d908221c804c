"""The process that reads and writes a job's files: a large library, and files of strangers.

It is started for one thing and ends: `split` says on its standard output how many rows each part
has, a line of JSON each; `render` writes there what the caller gets. It ends with predict, for it
then writes to nobody.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import BinaryIO

from agent import clock
from agent.errors import EXIT_FAILED, Refused
from agent.serving.batch import answered, folder, results
from agent.serving.batch.answered import Part
from agent.serving.batch.folder import ENDED
from agent.serving.batch.results import Result
from agent.serving.batch.split import split

_NICE = 10
_MOST_MEMORY = 4 << 30  # bytes: a file that wants more ends this process, not the host
_GLANCE_S = 0.05
_NEVER = Event()
_PARENT = os.getppid()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller wants of a job.

    Attributes:
        kind: The format.
        endpoints: Those that are wanted; none means all.
        follow: Whether to go on with the parts as they are answered.
    """

    kind: Result
    endpoints: tuple[str, ...] = ()
    follow: bool = False


def kind_of(name: str | None) -> Result:
    """Returns the format of that name; CSV by default."""
    kinds: dict[str | None, Result] = {"sdf": "sdf", "parquet": "parquet", "ndjson": "ndjson"}
    return kinds.get(name, "csv")


def step_back() -> None:
    """Lets the others go first, and limits the memory of this process."""
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))


def say_parts(job: Path, out: BinaryIO) -> None:
    """Cuts a job's file and says the rows of each part; last, whether it could be used."""
    try:
        for rows in split(job):
            _say(out, {"rows": rows})
    except Refused as refused:
        _say(out, {"refused": [refused.code, refused.reason]})
    else:
        _say(out, {"whole": True})


def _say(out: BinaryIO, line: dict[str, object]) -> None:
    out.write(json.dumps(line).encode() + b"\n")
    out.flush()


def render(job: Path, wanted: Wanted, out: BinaryIO) -> None:
    """Writes the answer of a job.

    Raises:
        Refused: `unknown_endpoint`; or `gone`: the job began anew while it was followed.
    """
    while wanted.follow and not _begun(job):
        _rest()
    if (job / folder.TABLE).exists() and (job / folder.RELEASE).exists():
        release, table = folder.read_release(job), folder.read_table(job)
        tasks = answered.chosen(release, wanted.endpoints)
        parts = _parts(job, release, follow=wanted.follow)
        results.write(results.Job(job, table, release, tasks), wanted.kind, parts, out)
    state = folder.read_state(job)
    if state.state != "done":
        code, detail = state.problem or (state.state, "The job was ended.")
        _say(out, {"problem": {"code": code, "detail": detail}})


def _begun(job: Path) -> bool:
    """Tells whether the header and the release are known, or never will be."""
    known = (job / folder.TABLE).exists() and (job / folder.RELEASE).exists()
    return known or folder.read_state(job).state in ENDED


def _parts(job: Path, release: folder.Release, *, follow: bool) -> Iterator[Part]:
    number = 0
    while True:
        state = folder.read_state(job)
        while number < state.parts:
            if state.release != release.release:
                raise Refused("gone", "The job began anew with another release; ask for it again.")
            yield answered.read_part(job, number, len(release.tasks))
            number += 1
        if not follow or state.state in ENDED:
            return
        _rest()


def _rest() -> None:
    if os.getppid() != _PARENT:  # predict died, and whoever listened with it
        sys.exit(EXIT_FAILED)
    clock.rest(_NEVER, _GLANCE_S)
