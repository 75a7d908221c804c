"""`onggi predict` with files: through a job of the endpoint, whatever their size."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent.errors import OnggiError, Refused, Stop, TryLater

if TYPE_CHECKING:
    from onggi.client import Client

READ = (".csv", ".tsv", ".txt", ".sdf", ".sd", ".smi", ".xlsx")
WRITTEN = (".csv", ".sdf", ".parquet", ".ndjson")
STANDARD = "-"
_LATER = frozenset({429, 502, 503, 504, 507})
_NOT_LET_IN = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Files:
    """What is read and written; `-` is standard input or output.

    Attributes:
        structure: The column of the structures, or empty.
        endpoints: These alone, or none for all.
    """

    given: str
    found: str
    structure: str = ""
    endpoints: Sequence[str] = ()


def named(arguments: Sequence[str]) -> tuple[str, str] | None:
    """Returns the files that arguments name: one to read and one to write; None for SMILES.

    Raises:
        click.UsageError: More than these two, or one that nothing is known of.
    """
    first = arguments[0]
    if first != STANDARD and not first.lower().endswith(READ):
        return None
    if len(arguments) > 2:
        raise click.UsageError("Give one file to read and one to write.")
    found = arguments[1] if len(arguments) == 2 else STANDARD
    if found != STANDARD and not found.lower().endswith(WRITTEN):
        raise click.UsageError(f"{found} must end in one of {', '.join(WRITTEN)}.")
    return first, found


def predict_files(client: "Client", files: Files, *, as_json: bool) -> None:
    """Sends a file, waits, and writes the answer.

    Args:
        client: Of the endpoint.
        files: What is read and written.
        as_json: Write NDJSON to standard output, instead of CSV.

    Raises:
        Stop: A file cannot be read or written, or the token does not count.
        TryLater: Nothing answers, or the endpoint has too much to do.
        Refused: The endpoint cannot use the file.
    """
    from onggi.client import OnggiAway, OnggiRefused

    try:
        _through(client, files, as_json=as_json)
    except OnggiRefused as refused:
        raise _ours(refused.status, refused.code, refused.detail) from None
    except OnggiAway as error:
        raise TryLater(
            f"{error} Start it with `onggi serve`, or name another address with --url."
        ) from error
    except OSError as error:
        raise Stop(f"Cannot use {error.filename or files.found}: {error.strerror}.") from error


def _ours(status: int, code: str, detail: str) -> OnggiError:
    if status in _LATER:
        return TryLater(detail)
    return Stop(detail) if status in _NOT_LET_IN else Refused(code, detail)


def _through(client: "Client", files: Files, *, as_json: bool) -> None:
    with _source(files.given) as given:
        suffix = "" if files.given == STANDARD else Path(files.given).suffix
        job = client.send(given, suffix, files.structure)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("predicting", total=None)
        job = client.wait(job, lambda done, total: bar.update(task, completed=done, total=total))
    kind = "ndjson" if as_json else "csv"
    if files.found != STANDARD:
        kind = Path(files.found).suffix[1:].lower()
    with _target(files.found) as out:
        client.fetch(job, kind, out, files.endpoints)
    said = f"{job['done']:,} rows by release {job['release']}"
    click.echo(f"{said}, {job['bad']:,} without a prediction" if job["bad"] else said, err=True)


@contextmanager
def _source(name: str) -> Iterator[BinaryIO]:
    if name == STANDARD:
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as handle:
        yield handle


@contextmanager
def _target(name: str) -> Iterator[BinaryIO]:
    """Opens a file that is there only once all of it is."""
    if name == STANDARD:
        yield sys.stdout.buffer
        return
    path = Path(name)
    staged = path.with_name(f".{path.name}.part")
    try:
        with staged.open("wb") as handle:
            yield handle
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
