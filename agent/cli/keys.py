"""`onggi keys`: this silo's keys, one for each purpose; they change through the roster only."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from agent.cli.credentials import CREDENTIALS, rings_of
from agent.clock import now
from agent.config import Paths, load
from agent.errors import Stop

if TYPE_CHECKING:
    from agent.keeper.identity import KeyFiles, Purpose
    from agent.key_ring import Rings
    from agent.wire.trusted import Trusted

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine.")
_PURPOSES = ("sign", "seal", "courier")


@click.group()
def keys() -> None:
    """Show and change this silo's keys. Run it as root: each key has an owner of its own."""


@keys.command("list")
@_JSON
@CREDENTIALS
@click.pass_obj
def list_keys(config_path: Path, as_json: bool, credentials: Path | None) -> None:
    """List each key: purpose, fingerprint, since when, until when, and what is wrong."""
    from agent.keeper.identity import key_lines
    from agent.wire.roster import member_of

    paths = Paths(load(config_path).site.state)
    trusted, silo = _trusted(paths, now())
    member = member_of(trusted.roster, silo) if trusted.roster else None
    lines = [
        asdict(line)
        for line in key_lines(_files(paths, rings_of(config_path, credentials)), member, now())
    ]
    if as_json:
        click.echo(json.dumps(lines, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("purpose", "fingerprint", "state", "since", "expires", ""):
        table.add_column(heading)
    for one in lines:
        since, expires = one["since"][:10] or "–", one["expires"][:10] or "–"
        mark = one["fingerprint"][:32]
        table.add_row(one["purpose"], mark, one["state"], since, expires, one["alarm"])
    Console().print(table)


@keys.command("rotate")
@click.argument("purpose", type=click.Choice(_PURPOSES))
@click.option(
    "--request",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Without a network: write the request to this file, too.",
)
@CREDENTIALS
@click.pass_obj
def rotate_key(
    config_path: Path, purpose: "Purpose", request: Path | None, credentials: Path | None
) -> None:
    """Make a new key for PURPOSE and ask the consortium to put it into the roster.

    The old key works until the new roster is there. Asked again, it changes nothing.
    """
    from agent.files import write_atomic
    from agent.keeper.identity import rotate
    from agent.wire.roster import member_of
    from agent.wire.signed import key_id, parse

    paths = Paths(load(config_path).site.state)
    trusted, silo = _trusted(paths, now())
    member = member_of(trusted.roster, silo) if trusted.roster else None
    if member is None or member.revoked:
        raise Stop("The roster that this silo believes does not name it; ask the consortium.")
    files = _files(paths, rings_of(config_path, credentials))
    content = rotate(files, purpose, member, trusted.root.consortium, now())
    if request is not None:
        write_atomic(request, content)
    new = json.loads(parse(content).payload)["new_key"]
    click.echo(f"Asked for a new key to {purpose}: {key_id(new)}")
    click.echo(
        "The courier carries the request; the officers take it in with `onggi-aggregator roster "
        "rotate`. Then the services take the key into use by themselves."
    )


@keys.command("show-fingerprint")
@CREDENTIALS
@click.pass_obj
def show_fingerprint(config_path: Path, credentials: Path | None) -> None:
    """Print what the consortium's operator sees too; compare it over the telephone."""
    from agent.keeper.identity import key_publics
    from agent.wire.token import fingerprint

    paths = Paths(load(config_path).site.state)
    trusted, _ = _trusted(paths, now())
    files = _files(paths, rings_of(config_path, credentials))
    click.echo(fingerprint(trusted.root_sha256, *key_publics(files)))


def trust_alarms(paths: Paths, at: datetime) -> list[str]:
    """Says what of this silo's trust ends soon; that it cannot be read is an alarm, too."""
    from agent.keeper.identity import alarms

    try:
        trusted, silo = _trusted(paths, at)
        return alarms(trusted, silo, paths.trust / "ca.pem", at)
    except Stop as error:
        return [str(error)]


def _files(paths: Paths, rings: "Rings") -> "KeyFiles":
    from agent.keeper.identity import KeyFiles

    return KeyFiles(paths.keys, paths.courier, paths.outbox, rings)


def _trusted(paths: Paths, at: datetime) -> "tuple[Trusted, str]":
    from agent.errors import Refused
    from agent.keeper.assemble import read_enrolment
    from agent.keeper.trust import open_trust
    from agent.ledger.book import Ledger

    note = read_enrolment(paths)
    try:
        with Ledger(paths.ledger, read_only=True) as ledger:
            return open_trust(paths.trust, note.root_sha256, ledger, at), note.silo
    except (Refused, OSError) as error:
        raise Stop(f"What this silo trusts cannot be read: {error}") from error
