"""`onggi profile suggest`: a first profile from a file itself, for a person to correct."""

import json
from pathlib import Path

import click

from agent.cli.setup import JSON
from agent.config import Paths, load
from agent.errors import Refused, Stop
from agent.wire.documents import Endpoint


@click.group()
def profile() -> None:
    """Mapping profiles: what the columns of a store mean."""


@profile.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--sheet", default="", help="The sheet of a workbook that has several.")
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Endpoints to look for, as JSON; else those of this silo's consortium, if it has any.",
)
@JSON
@click.pass_obj
def suggest(
    config_path: Path, file: Path, sheet: str, catalogue: Path | None, as_json: bool
) -> None:
    """Write a first profile for FILE to stdout. Nothing is read with it before you reviewed it.

    It says how sure it is of each column; check everything, then set reviewed = true.
    """
    from agent.keeper.trial import named_catalogue
    from agent.stores.draft import to_json, to_toml
    from agent.stores.suggest import suggest as suggested

    endpoints = named_catalogue(catalogue).endpoints if catalogue else _own(config_path)
    found = suggested(file, endpoints, converts, sheet)
    if as_json:
        click.echo(json.dumps(to_json(found), indent=1, ensure_ascii=False))
    else:
        click.echo(to_toml(found), nl=False)


def converts(unit: str, endpoint: Endpoint | None) -> bool:
    """Tells whether a unit is known and, where an endpoint is given, converts to its unit."""
    from agent.assays import units

    try:
        units.parse(unit)
        if endpoint is not None:
            units.to_canonical(1.0, unit, endpoint, 1.0)
    except Refused as refused:
        return refused.code != "unknown_unit"
    return True


def _own(config_path: Path) -> tuple[Endpoint, ...]:
    """Returns the endpoints of the silo's consortium, or none where there is no silo yet."""
    from agent.keeper.trial import current_catalogue

    try:
        return current_catalogue(Paths(load(config_path).site.state)).endpoints
    except Stop as error:
        click.echo(f"Without endpoints to look for ({error})", err=True)
        return ()
