"""`onggi predict`: asks the local endpoint."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from agent.cli.setup import JSON
from agent.config import ServeSection, load
from agent.errors import Stop

_LONGEST_TOKEN = 16_384
# A file, and neither an option nor a variable of its own: both show in lists of processes.
TOKEN_FILE = click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="ONGGI_TOKEN_FILE",
    help="Holds the token that the endpoint asks for; ONGGI_TOKEN_FILE by default.",
)
CA_FILE = click.option(
    "--ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Certificates (PEM) to trust for https; the system's by default.",
)


def own_url(section: ServeSection) -> str:
    """Returns where this host's endpoint answers: by its first name, as its certificate has it."""
    host = section.names[0] if section.names and section.certificate else section.host
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what "all" means
    scheme = "https" if section.certificate else "http"
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{scheme}://{bracketed}:{section.port}"


def read_token(path: Path | None) -> str:
    """Returns the token in a file, or an empty text without one.

    Raises:
        Stop: The file cannot be read or holds no token.
    """
    if path is None:
        return ""
    try:
        with path.open(encoding="ascii") as handle:
            token = handle.read(_LONGEST_TOKEN).strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise Stop(f"{path} holds no token that can be read; put one line with it there.")
    return token


@click.command()
@click.argument("smiles", nargs=-1, required=True)
@click.option("--url", default="", help="The endpoint; the configuration's own by default.")
@TOKEN_FILE
@CA_FILE
@JSON
@click.pass_obj
def predict(
    config_path: Path,
    smiles: tuple[str, ...],
    url: str,
    token_file: Path | None,
    ca_file: Path | None,
    as_json: bool,
) -> None:
    """Predict every endpoint for one or more SMILES."""
    from agent.serving.client import predict as ask

    url = url or own_url(load(config_path).serve)
    token = read_token(token_file)
    answer: dict[str, Any] = ask(url, list(smiles), token=token, ca_file=ca_file)
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
