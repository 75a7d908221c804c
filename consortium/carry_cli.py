"""`onggi-aggregator carry`, `record` and `evidence`: sticks, and what others may check."""

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click

from agent import clock
from agent.wire.masking.record import PARTS
from consortium.carrying import FolderDesk, describe
from consortium.evidence import findings, show
from consortium.folder import Folder
from consortium.options import as_json, folder_option, opened
from consortium.record import write_record
from consortium.serve import build
from consortium.store import roster


@click.command()
@click.option("--in", "source", type=click.Path(path_type=Path), required=True, help="The stick.")
@click.option(
    "--out", "target", type=click.Path(path_type=Path), help="Where answers go; may be the same."
)
@as_json
@folder_option
def carry(source: Path, target: Path | None, root: Path, *, as_json: bool) -> None:
    """Takes envelopes from a carried folder and writes answers and the feed for each silo."""
    folder = Folder(root)
    service = build(folder)
    with closing(service.store):
        desk = FolderDesk(service.store, folder, service.desk, service.settings.consortium)
        done = desk.carry(source, target, clock.now())
    click.echo(json.dumps(asdict(done), indent=2) if as_json else describe(done))


@click.command("record")
@click.argument("round_id", metavar="ROUND")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder.")
@folder_option
def record(round_id: str, out: Path, root: Path) -> None:
    """Writes the public record of the masked ROUND, for `onggi replay ROUND --from FOLDER`."""
    with opened(root) as store, store.reading() as session:
        vectors = write_record(session, round_id, Folder(root).objects, out)
    click.echo(f"Wrote {len(PARTS)} signed documents and {vectors} vectors to {out}.")


@click.group("evidence")
def evidence_group() -> None:
    """Shows what proves that a silo signed two updates for one round."""


@evidence_group.command("list")
@as_json
@folder_option
def evidence_list(root: Path, *, as_json: bool) -> None:
    """Lists each proof by its number in the log of answers."""
    with opened(root) as store, store.reading() as session:
        found = findings(session)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    for one in found:
        ids = f"{one.kept_id[:16]} and {one.refused_id[:16]}"
        click.echo(f"{one.number}\t{one.silo}\t{one.round_id}\t{ids}\t{one.answered}")
    if not found:
        click.echo("No silo signed two updates for one round.")


@evidence_group.command("show")
@click.argument("number", type=int)
@folder_option
def evidence_show(number: int, root: Path) -> None:
    """Prints both signed headers of proof NUMBER as JSON, for whoever wants to check them."""
    with opened(root) as store, store.reading() as session:
        found = show(session, number, roster(session))
    click.echo(json.dumps(asdict(found), indent=2))
