"""`onggi-aggregator release ...` and `onggi-aggregator tuf ...`: releases and their keys."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from agent import clock
from agent.clock import to_text
from agent.errors import Refused
from consortium import metadata
from consortium.ceremony import OFFLINE, ROLES, load_any, new_keys, rotate
from consortium.export import export
from consortium.folder import Folder, load_settings
from consortium.options import as_json, folder_option, opened
from consortium.repository import (
    current,
    delegated,
    open_repository,
    root_in_force,
)
from consortium.republish_cli import golden, publish

_keys = click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A key of the ceremony; give it once for each.",
)


@click.group("release")
def release_group() -> None:
    """Shows releases, and moves them between the channels."""


@release_group.command("list")
@as_json
@folder_option
def release_list(root: Path, *, as_json: bool) -> None:
    """Lists the releases that silos are offered."""
    folder = Folder(root)
    with opened(root) as store, store.reading() as session:
        listed = open_repository(folder).listed(session)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in listed], indent=2))
        return
    for one in listed:
        click.echo(f"{one.channel}\t{one.release_id}\tversion {one.version}")


@release_group.command("promote")
@click.argument("release_id", metavar="ID")
@folder_option
def release_promote(release_id: str, root: Path) -> None:
    """Moves release ID from canary to stable."""
    folder = Folder(root)
    with opened(root) as store, store.writing() as session:
        open_repository(folder).promote(session, release_id, clock.now())
    click.echo(f"Release {release_id} is stable.")


@release_group.command("withdraw")
@click.argument("release_id", metavar="ID")
@folder_option
def release_withdraw(release_id: str, root: Path) -> None:
    """Takes release ID off its channel; a silo that serves it already goes on serving it."""
    folder = Folder(root)
    with opened(root) as store, store.writing() as session:
        open_repository(folder).withdraw(session, release_id, clock.now())
    click.echo(f"Release {release_id} is withdrawn.")


@release_group.command("export")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@folder_option
def release_export(out: Path, root: Path) -> None:
    """Writes the whole repository to the new folder OUT, for a silo without a network."""
    folder = Folder(root)
    with opened(root) as store, store.reading() as session:
        count = export(session, folder.objects, out)
        expires = metadata.read(current(session, "timestamp")).expires
    click.echo(f"Wrote {count} release(s) to {out}; bring them before {to_text(expires)}.")


release_group.add_command(publish)
release_group.add_command(golden)


@click.group("tuf")
def tuf_group() -> None:
    """The keys and files of the release repository."""


@tuf_group.command("status")
@as_json
@folder_option
def tuf_status(root: Path, *, as_json: bool) -> None:
    """Shows each role: its file's version and expiry, and its keys."""
    with opened(root) as store, store.reading() as session:
        roles = {**root_in_force(session).roles, **delegated(session)[1]}
        rows = [
            {
                "role": name,
                "version": (found := metadata.read(current(session, name))).version,
                "expires": to_text(found.expires),
                "threshold": roles[name].threshold,
                "keys": roles[name].keyids,
            }
            for name in ROLES
        ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(
            "{role}\tversion {version}\tuntil {expires}\t{threshold} of ".format(**row)
            + ", ".join(one[:16] for one in roles[str(row["role"])].keyids)
        )


@tuf_group.command("rotate")
@click.argument("role", type=click.Choice(ROLES))
@_keys
@folder_option
def tuf_rotate(role: str, keys: tuple[Path, ...], root: Path) -> None:
    """Makes new keys for ROLE and puts them in force.

    For root, targets, snapshot and timestamp name the keys of the root with --key; for canary and
    stable those of the targets.
    """
    folder, now = Folder(root), clock.now()
    load_settings(folder)
    at_hand = [load_any(path) for path in keys]
    place = folder.offline if role in OFFLINE else folder.keys
    with opened(root) as store:
        with store.reading() as session:
            roles = {**root_in_force(session).roles, **delegated(session)[1]}
            count = len(roles[role].keyids)
        fresh = new_keys(place, role, count)  # durable before the transaction that needs them
        try:
            with store.writing() as session:
                repository = open_repository(folder)
                rotate(session, repository, role, list(fresh.values()), at_hand, now)
        except Refused:
            for path in fresh:
                path.unlink()
            raise
    click.echo(f"Put {count} new key(s) of {role} in force; they are in {place}.")
    if role in OFFLINE:
        click.echo("Carry them away, each to another place, and destroy the old ones.")


@tuf_group.command("renew")
@click.argument("role", type=click.Choice(OFFLINE))
@_keys
@folder_option
def tuf_renew(role: str, keys: tuple[Path, ...], root: Path) -> None:
    """Signs ROLE again with the keys that it has, before it expires."""
    folder = Folder(root)
    at_hand = [load_any(path) for path in keys]
    with opened(root) as store, store.writing() as session:
        rotate(session, open_repository(folder), role, (), at_hand, clock.now())
        expires = metadata.read(current(session, role)).expires
    click.echo(f"Signed {role} again; it holds until {to_text(expires)}.")
