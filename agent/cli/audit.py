"""`onggi audit`: who asked predict what, and when."""

import csv
import json
import re
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from agent.cli.setup import JSON
from agent.config import Paths, load
from agent.errors import Stop
from agent.serving import audit as lines

_COLUMNS = ("time", "who", "address", "method", "route", "status", "structures", "bad", "release")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(T|$)")
SINCE = click.option(
    "--since", default="", metavar="DATE", help="A day such as 2026-11-01, or a moment, in UTC."
)


@click.group()
def audit() -> None:
    """Who asked the endpoint: each call that predicts, explains or looks compounds up."""


@audit.command()
@click.option("-n", "most", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@SINCE
@JSON
@click.pass_obj
def tail(config_path: Path, most: int, since: str, as_json: bool) -> None:
    """Show the newest lines."""
    last = deque(_lines(config_path, since), most)
    for line in last:
        if as_json:
            click.echo(json.dumps(line, ensure_ascii=False))
            continue
        said = [str(line.get(name, "")) for name in _COLUMNS]
        time, who, address, method, route, status, structures, bad, release = said
        counts = f"{structures} ({bad} bad)" if structures else ""
        click.echo(
            f"{time[:19]}  {who:20} {address:15} {method:6} {route:24} {status:3}  "
            f"{counts:16} {release[:12]}".rstrip()
        )
    if not last and not as_json:
        click.echo("Nobody has asked yet.")


@audit.command()
@SINCE
@JSON
@click.pass_obj
def export(config_path: Path, since: str, as_json: bool) -> None:
    """Write every line to standard output: as CSV, or with --json as they are."""
    if as_json:
        for line in _lines(config_path, since):
            click.echo(json.dumps(line, ensure_ascii=False))
        return
    table = csv.DictWriter(sys.stdout, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for line in _lines(config_path, since):
        table.writerow({name: _plain(value) for name, value in line.items()})


def _lines(config_path: Path, since: str) -> Iterator[dict[str, Any]]:
    if since and not _MOMENT.match(since):
        raise click.BadParameter(f"{since!r} is no day; write 2026-11-01.", param_hint="--since")
    folder = Paths(load(config_path).site.state).predict / lines.FOLDER
    try:
        yield from lines.read(folder, since)
    except OSError as error:
        raise Stop(
            f"The audit log in {folder} cannot be read ({error.strerror}); run this as root."
        ) from error


def _plain(value: object) -> object:
    # A spreadsheet would compute a name that begins like a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in {*"=+-@\t\r"} else value
