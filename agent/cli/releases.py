"""`onggi releases`: every release that came, what was decided of it, and why."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.setup import JSON
from agent.config import Paths, load
from agent.ledger.book import Ledger

_HASH_CHARS = 12


@click.command()
@JSON
@click.pass_obj
def releases(config_path: Path, as_json: bool) -> None:
    """List the releases that came: taken, refused or rolled back, and why, head by head."""
    from agent.keeper.decisions import decisions

    config = load(config_path)
    with Ledger(Paths(config.site.state).ledger, read_only=True) as ledger:
        found = decisions(ledger, config.gate.let_pass)
    if as_json:
        click.echo(json.dumps({"releases": found}, indent=1, ensure_ascii=False))
        return
    _print(Console(), found)


def _print(console: Console, found: list[dict[str, Any]]) -> None:
    if not found:
        console.print("No release has come yet.")
        return
    table = Table(title="Releases", title_justify="left", box=None, pad_edge=False)
    for heading in ("release", "state", "since", "class", "weights", "told"):
        table.add_column(heading, no_wrap=heading == "release")
    for one in found:
        words = [f"{word['outcome']} ({word['state']})" for word in one["told"]]
        weights = one["weights_sha256"][:_HASH_CHARS] + (" held" if one["quarantined"] else "")
        since = one["since"][:10]
        cells = (one["state"], since, one["reason"] or "", weights, ", ".join(words))
        table.add_row(escape(one["id"]), *cells)
    console.print(table)
    for one in found:
        print_findings(console, one)


def print_findings(console: Console, one: dict[str, Any]) -> None:
    """Prints why a release was refused or rolled back, and what the gate found of each head.

    Args:
        console: Where to print.
        one: As `decisions` returned it.
    """
    if one["reason"] is None:
        return
    said = f"{escape(one['id'])} {one['state']} ({one['reason']})"
    if one["reason"] != "worse" or one["held_as"]:
        console.print(f"{said}: {escape(one['why'])}", soft_wrap=True, highlight=False)
        return
    console.print(f"{said}:", soft_wrap=True, highlight=False)
    for head in one["heads"].values():
        mark = "[red]✗[/]" if head["outcome"] == "worse" else " "
        text = f"  {mark} {escape(head['sentence'])}"
        console.print(text, soft_wrap=True, highlight=False)
