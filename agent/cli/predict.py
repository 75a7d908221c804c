"""`onggi predict`: asks the local endpoint."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from agent.cli.setup import JSON
from agent.config import load


@click.command()
@click.argument("smiles", nargs=-1, required=True)
@click.option("--url", default="", help="The endpoint; the configuration's own by default.")
@JSON
@click.pass_obj
def predict(config_path: Path, smiles: tuple[str, ...], url: str, as_json: bool) -> None:
    """Predict every endpoint for one or more SMILES."""
    from agent.serving.client import predict as ask

    if not url:
        section = load(config_path).serve
        url = f"http://{section.host}:{section.port}"
    answer: dict[str, Any] = ask(url, list(smiles))
    if as_json:
        click.echo(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    console = Console()
    for given, result in zip(smiles, answer["results"], strict=True):
        if "error" in result:
            fault = result["error"]
            console.print(f"[red]✗[/] {given}: {fault['cause']} ({fault['step']})", soft_wrap=True)
            continue
        table = Table(title=given, title_justify="left")
        table.add_column("endpoint")
        table.add_column("predicted", justify="right")
        table.add_column("90% interval")
        table.add_column("unit")
        table.add_column("domain")
        for task, value in result["predictions"].items():
            said = (f"{value['value']:.4g}", _interval(value), value.get("unit") or "")
            table.add_row(task, *said, _domain(value))
        console.print(table)
    console.print(f"release {answer['release']}", style="dim")


def _interval(value: dict[str, Any]) -> str:
    interval = value.get("interval")
    return f"{interval[0]:.3g} – {interval[1]:.3g}" if interval else "–"


def _domain(value: dict[str, Any]) -> str:
    near = value.get("similarity")
    if near is None:
        return "–"
    by = " and ".join(value.get("outside_by", ()))
    said = "inside" if value["inside"] else "[yellow]outside[/]" + (f" by {by}" if by else "")
    return f"{said} ({near:.2f})"
