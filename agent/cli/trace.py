"""`onggi trace`: where each row of a compound came from, and what became of it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from agent.cli.setup import JSON
from agent.config import Paths, load
from agent.ledger.book import Ledger

if TYPE_CHECKING:
    from agent.keeper.trace import Step

_HASH_CHARS = 12


@click.command()
@click.argument("compound")
@JSON
@click.pass_obj
def trace(config_path: Path, compound: str, as_json: bool) -> None:
    """Show every row of COMPOUND (your own number, or a SMILES) and what became of it."""
    from agent.keeper.trace import trace as find

    paths = Paths(load(config_path).site.state)
    with Ledger(paths.ledger, read_only=True) as ledger:
        steps = find(ledger, paths.parts, compound)
    if as_json:
        rows = [asdict(step) for step in steps]
        click.echo(json.dumps({"compound": compound, "rows": rows}, indent=1, ensure_ascii=False))
        return
    table = Table(title=compound, title_justify="left", box=None, pad_edge=False)
    for heading in ("task", "value", "fate", "file", "place", "file's hash", "profile", "why"):
        table.add_column(heading, overflow="fold")
    for step in steps:
        table.add_row(*_cells(step))
    Console().print(table)


def _cells(step: "Step") -> tuple[str, ...]:
    sign = "" if step.qualifier == "=" else step.qualifier
    value = "" if step.value is None else f"{sign}{step.value:g}"
    sheet = f"{step.sheet} " if step.sheet else ""
    place = f"{sheet}row {step.row}" + (f" {step.column}" if step.column else "")
    profile = f"{step.profile_version} ({step.profile_sha256[:_HASH_CHARS]})"
    why = " ".join(filter(None, [step.reason, step.by]))
    name = f"{step.store}/{step.file}"
    return (step.task, value, step.fate, name, place, step.sha256[:_HASH_CHARS], profile, why)
