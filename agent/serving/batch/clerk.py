"""The process that reads and writes a job's files: a large library, and files of strangers.

`python -m agent.serving.batch.clerk` is started for one thing and ends: `split` says on its
standard output how many rows each part has, a line of JSON each; `render` writes there what the
caller gets. It ends with predict, for it then writes to nobody.
"""

import argparse
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import BinaryIO, get_args

from agent import clock, log
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
        measured: Whether the caller may see what the site measured itself.
    """

    kind: Result
    endpoints: tuple[str, ...] = ()
    follow: bool = False
    measured: bool = False


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
        # Whether there is anything to see is known once the job is done.
        measured = wanted.measured and (wanted.follow or folder.read_state(job).measured)
        shown = results.Job(job, table, release, tasks, measured)
        results.write(shown, wanted.kind, parts, out)
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


def main(arguments: list[str]) -> None:
    """Does what it was started for; not a command of `onggi`, which would load more than it needs.

    Raises:
        Refused: As `render`.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["split", "render"])
    parser.add_argument("job", type=Path)
    parser.add_argument("--format", choices=get_args(Result), default="csv")
    parser.add_argument("--endpoint", action="append", default=[])
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("--measured", action="store_true")
    given = parser.parse_args(arguments)
    step_back()
    if given.what == "split":
        say_parts(given.job, sys.stdout.buffer)
    else:
        wanted = Wanted(given.format, tuple(given.endpoint), given.follow, given.measured)
        render(given.job, wanted, sys.stdout.buffer)


if __name__ == "__main__":
    log.setup()
    # What a terminal's Ctrl-C or a supervisor's signal means is for predict to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        main(sys.argv[1:])
    except BrokenPipeError:
        sys.exit(EXIT_FAILED)  # nobody listens any more
    # The outermost edge: Python's own report would print the message, which may quote a row.
    except Exception:
        logging.getLogger(__name__).exception("clerk_raised")
        sys.exit(EXIT_FAILED)
