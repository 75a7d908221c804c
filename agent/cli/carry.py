"""`onggi carry`: one trip with a folder, for a silo without a connection."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent import clock
from agent.config import load

if TYPE_CHECKING:
    from agent.exchange.carry import Carried

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--out", type=_FOLDER, help="Write the envelopes that wait, oldest first.")
@click.option("--in", "back", type=_FOLDER, help="Bring in the signed files that are there.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_obj
def carry(config_path: Path, out: Path | None, back: Path | None, as_json: bool) -> None:
    """Carry sealed envelopes to a folder, and signed files from one; it may be the same.

    Run it as the courier's user. The stick goes to the aggregator, whose operator runs
    `onggi-aggregator carry`, and comes back.
    """
    from agent.exchange.carry import carry_once
    from agent.exchange.places import Places

    if out is None and back is None:
        raise click.UsageError("Name a folder with --out, with --in, or with both.")
    config = load(config_path)
    canary = config.releases.channel == "canary"
    done = carry_once(Places.under(config.site.state), out, back, clock.now, canary=canary)
    click.echo(json.dumps(asdict(done), indent=1) if as_json else _sentences(done))


def _sentences(done: "Carried") -> str:
    lines = [
        f"{done.brought} signed files came in, {done.answered} envelopes were answered, "
        f"{done.waiting} wait for their answer."
    ]
    return "\n".join(lines + [f"set aside {one.name}: {one.reason}" for one in done.asides])
