"""`onggi trace`: where each row of a compound came from, and what became of it."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape

from agent.cli.setup import JSON
from agent.config import Paths, load
from agent.ledger.book import Ledger

if TYPE_CHECKING:
    from agent.keeper.trace import Step

_HASH_CHARS = 12
_SIGNS = {"used": "[green]✓[/]", "set aside": "[red]✗[/]"}


@click.command()
@click.argument("compound")
@JSON
@click.pass_obj
def trace(config_path: Path, compound: str, as_json: bool) -> None:
    """Show every row of COMPOUND (your own number, or a SMILES) and what became of it."""
    from agent.keeper.export import endpoints
    from agent.keeper.trace import trace as find

    config = load(config_path)
    paths = Paths(config.site.state)
    units = {task: endpoint.unit for task, endpoint in endpoints(config).items()}
    with Ledger(paths.ledger, read_only=True) as ledger:
        steps = find(ledger, paths.parts, compound, units)
    if as_json:
        rows = [asdict(step) for step in steps]
        click.echo(json.dumps({"compound": compound, "rows": rows}, indent=1, ensure_ascii=False))
        return
    console = Console(highlight=False, soft_wrap=True)
    for step in steps:
        for line in _lines(step):
            console.print(line)


def _lines(step: "Step") -> Iterator[str]:
    """Yields what is said of one row; texts from files are escaped: they may look like markup."""
    what = escape(f"{step.task} {_number(step)}".strip())
    sheet = f", sheet {step.sheet}" if step.sheet else ""
    column = f", column {step.column}" if step.column else ""
    place = escape(f"{step.store}/{step.file}{sheet}, row {step.row}{column}")
    yield f"{_SIGNS.get(step.fate, '[yellow]–[/]')} {step.fate}  [bold]{what}[/]  {place}"
    if step.reason:
        yield escape(f"    {step.reason}" + (f" See {step.by}." if step.by else ""))
    profile = f"profile {step.profile_version} ({step.profile_sha256[:_HASH_CHARS]})"
    number = f", measurement {step.measurement_id}" if step.measurement_id else ""
    said = f"    {step.compound_id}{number}; file {step.sha256[:_HASH_CHARS]}, {profile}"
    yield f"[dim]{escape(said)}[/]"


def _number(step: "Step") -> str:
    if step.value is None:
        return ""
    sign = "" if step.qualifier == "=" else step.qualifier
    return f"{sign}{step.value:g} {step.unit}".strip()
