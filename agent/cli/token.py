"""`onggi token`: who may ask predict."""

import json
from pathlib import Path

import click

from agent import clock
from agent.cli.setup import JSON
from agent.config import Paths, load, make_folder
from agent.serving import tokens
from agent.serving.callers import Scope

NAME = click.argument("name")


@click.group()
def token() -> None:
    """Who may ask the endpoint: make tokens, list and revoke them."""


@token.command()
@NAME
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["predict", "data", "admin"]),
    multiple=True,
    required=True,
    help="What it allows; may be given again. `data` shows measured values and compounds.",
)
@click.option(
    "--rate", type=click.IntRange(0), default=0, help="Requests a minute; 0 as configured."
)
@click.option("--expires", type=click.IntRange(1, 36_500), help="In so many days; never without.")
@JSON
@click.pass_obj
def add(
    config_path: Path,
    name: str,
    scopes: tuple[Scope, ...],
    rate: int,
    expires: int | None,
    as_json: bool,
) -> None:
    """Make a token for NAME and show it, this once. It counts at once."""
    folder = _folder(config_path)
    make_folder(folder)
    now = clock.now()
    draft = tokens.drafted(name, scopes, rate, expires, now)
    secret = tokens.add(folder, draft, now)
    if as_json:
        click.echo(json.dumps({"name": name, "token": secret, "expires": draft.expires}))
        return
    click.echo(secret)
    until = f"until {draft.expires[:10]}" if draft.expires else "until it is revoked"
    click.echo(
        f"Token {name} ({', '.join(draft.scopes)}) counts {until}. It is shown this once: hand it "
        "on by a way that nobody reads along.",
        err=True,
    )


@token.command("list")
@JSON
@click.pass_obj
def list_tokens(config_path: Path, as_json: bool) -> None:
    """List every token that was made: for whom, what it allows, whether it is in force."""
    now = clock.now()
    rows = [
        {"state": one.state(now), **one.model_dump(mode="json", exclude={"sha256"})}
        for one in tokens.read(_folder(config_path))
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        rate = f"{row['rate_per_minute']}/min" if row["rate_per_minute"] else "-"
        until = (row["revoked"] or row["expires"])[:10] or "-"
        scopes = ",".join(row["scopes"])
        click.echo(f"{row['name']:24} {row['state']:9} {scopes:20} {rate:9} {until}")
    if not rows:
        click.echo("No token was made yet; `onggi token add NAME --scope predict` makes one.")


@token.command()
@NAME
@click.pass_obj
def revoke(config_path: Path, name: str) -> None:
    """End the token of NAME; the next request with it is refused."""
    tokens.revoke(_folder(config_path), name, clock.now())
    click.echo(f"Token {name} is revoked.")


def _folder(config_path: Path) -> Path:
    return Paths(load(config_path).site.state).predict
