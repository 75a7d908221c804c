"""`onggi report`: what became of the stores' data, as a page to send or JSON."""

import json
from pathlib import Path
from typing import Any

import click

from agent import clock
from agent.cli.setup import JSON
from agent.config import load
from agent.errors import Stop
from agent.files import write_atomic

_PAGE = Path("onggi-report.html")


@click.command()
@JSON
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Write to this file ({_PAGE} otherwise; JSON goes to the screen).",
)
@click.option(
    "--show-structures", is_flag=True, help="Also show structures and values: not for everyone."
)
@click.pass_obj
def report(config_path: Path, as_json: bool, output: Path | None, show_structures: bool) -> None:
    """Write one page on sources, files, rows set aside, and what each task has and lacks."""
    from agent.assays.report_page import page
    from agent.keeper.inventory import ingest_report

    content = ingest_report(load(config_path), clock.now(), detailed=show_structures)
    text = _json(content) if as_json else page(content)
    if as_json and output is None:
        click.echo(text, nl=False)
        return
    target = output or _PAGE
    try:
        write_atomic(target, text)
    except OSError as error:
        raise Stop(f"Cannot write {target}: {error.strerror}. Name another --output.") from error
    click.echo(f"Written to {target}.", err=as_json)


def _json(content: dict[str, Any]) -> bytes:
    # A cell may hold half a surrogate pair, which UTF-8 cannot: JSON's own escape can.
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")
