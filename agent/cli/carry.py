"""`onggi carry`: one trip with a folder, for a silo without a connection."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from pwd import getpwuid
from typing import TYPE_CHECKING

import click

from agent import clock
from agent.cli.credentials import CREDENTIALS, ring_of
from agent.config import load

if TYPE_CHECKING:
    from agent.exchange.carry import Carried

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--out", type=_FOLDER, help="Write the envelopes that wait, oldest first.")
@click.option("--in", "back", type=_FOLDER, help="Bring in the signed files that are there.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@CREDENTIALS
@click.pass_obj
def carry(
    config_path: Path,
    out: Path | None,
    back: Path | None,
    as_json: bool,
    credentials: Path | None,
) -> None:
    """Carry sealed envelopes to a folder, and signed files from one; it may be the same.

    Run it as root, who opens the courier's key and goes on as the courier's user. The stick goes to
    the aggregator, whose operator runs `onggi-aggregator carry`, and comes back.
    """
    from agent.exchange.carry import carry_once
    from agent.exchange.places import Places
    from agent.key_ring import Rings

    if out is None and back is None:
        raise click.UsageError("Name a folder with --out, with --in, or with both.")
    config = load(config_path)
    canary = config.releases.channel == "canary"
    rings = Rings(courier=ring_of("courier", config_path, credentials))
    places = Places.under(config.site.state, rings)
    _become_owner(places.courier)
    done = carry_once(places, out, back, clock.now, canary=canary)
    click.echo(json.dumps(asdict(done), indent=1) if as_json else _sentences(done))


def _become_owner(folder: Path) -> None:
    """Goes on as the user who owns the folder: what root wrote there, the service could not use."""
    try:
        owner = folder.stat()
    except OSError:
        return  # there is none yet; what needs it says so
    if os.geteuid() != 0 or owner.st_uid == 0:
        return
    os.initgroups(getpwuid(owner.st_uid).pw_name, owner.st_gid)
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)


def _sentences(done: "Carried") -> str:
    lines = [
        f"{done.brought} signed files came in, {done.answered} envelopes were answered, "
        f"{done.waiting} wait for their answer."
    ]
    return "\n".join(lines + [f"set aside {one.name}: {one.reason}" for one in done.asides])
