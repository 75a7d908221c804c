"""`onggi predict`: asks the local endpoint."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import click
from rich.console import Console
from rich.table import Table

from agent.cli.predict_files import Files, named, predict_files
from agent.cli.setup import JSON
from agent.config import ServeSection, load
from agent.errors import Refused, Stop

_LONGEST_TOKEN = 16_384
# A file, and neither an option nor a variable of its own: both show in lists of processes.
TOKEN_FILE = click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="ONGGI_TOKEN_FILE",
    help="Holds the token that the endpoint asks for; ONGGI_TOKEN_FILE by default.",
)
URL = click.option("--url", default="", help="The endpoint; the configuration's own by default.")
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


class Asked(TypedDict):
    """Where to ask, and for what of the answer."""

    url: str
    token_file: Path | None
    ca_file: Path | None
    structure: str
    endpoints: tuple[str, ...]


@click.command()
@click.argument("structures", nargs=-1, required=True, metavar="SMILES... | IN [OUT]")
@URL
@TOKEN_FILE
@CA_FILE
@click.option("--structure", default="", help="The column of the structures in IN.")
@click.option("--endpoint", "endpoints", multiple=True, help="This endpoint alone; repeatable.")
@JSON
@click.pass_obj
def predict(
    config_path: Path, structures: tuple[str, ...], as_json: bool, **asked: Unpack[Asked]
) -> None:
    """Predict every endpoint for one or more SMILES, or for a file.

    IN is a file that ends in .csv, .tsv, .txt, .sdf, .smi or .xlsx, or "-" for standard input; OUT
    ends in .csv, .sdf, .parquet or .ndjson, or is "-", the default: CSV on standard output.
    """
    url = asked["url"] or own_url(load(config_path).serve)
    token, ca_file = read_token(asked["token_file"]), asked["ca_file"]
    if (names := named(structures)) is not None:
        from onggi.client import Client

        files = Files(*names, asked["structure"], asked["endpoints"])
        predict_files(Client(url, token, ca_file), files, as_json=as_json)
        return
    from agent.serving.client import predict as ask

    answer: dict[str, Any] = ask(url, list(structures), token=token, ca_file=ca_file)
    _choose(answer["results"], asked["endpoints"])
    if as_json:
        click.echo(json.dumps(answer, indent=1, ensure_ascii=False))
    else:
        _show(structures, answer)


def _choose(results: Sequence[dict[str, Any]], endpoints: Sequence[str]) -> None:
    """Leaves the endpoints that were asked for.

    Raises:
        Refused: `unknown_endpoint`.
    """
    for result in results:
        heads = result.get("predictions")
        if not heads or not endpoints:
            continue
        if unknown := [name for name in endpoints if name not in heads]:
            listed = ", ".join(heads)
            raise Refused("unknown_endpoint", f"There is no endpoint {unknown[0]}; name {listed}.")
        result["predictions"] = {name: heads[name] for name in endpoints}


def _show(structures: Sequence[str], answer: dict[str, Any]) -> None:
    console = Console()
    for given, result in zip(structures, answer["results"], strict=True):
        if "error" in result:
            fault = result["error"]
            console.print(f"[red]✗[/] {given}: {fault['cause']} ({fault['step']})", soft_wrap=True)
            continue
        table = Table(title=given, title_justify="left")
        table.add_column("endpoint")
        table.add_column("predicted", justify="right")
        known = any("measured" in value for value in result["predictions"].values())
        if known:
            table.add_column("measured", justify="right")
        table.add_column("90% interval")
        table.add_column("unit")
        table.add_column("domain")
        for task, value in result["predictions"].items():
            said = (_interval(value), value.get("unit") or "", _domain(value))
            own = [_measured(value)] if known else []
            table.add_row(task, f"{value['value']:.4g}", *own, *said)
        console.print(table)
    console.print(f"release {answer['release']}", style="dim")


def _measured(value: dict[str, Any]) -> str:
    said = value.get("measured")
    if said is None:
        return "–"
    qualifier = "" if said["qualifier"] == "=" else said["qualifier"]
    return f"{qualifier}{said['value']:.4g}"


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
