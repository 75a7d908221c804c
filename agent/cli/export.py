"""`onggi export`: the curated table as Parquet or CSV."""

import io
import sys
from pathlib import Path

import click

from agent.config import load
from agent.errors import Stop


@click.command()
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["parquet", "csv"]),
    default="csv",
    show_default=True,
    help="What to write.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to this file instead of standard output.",
)
@click.pass_obj
def export(config_path: Path, file_format: str, output: Path | None) -> None:
    """Write the curated table: what trains, one row a compound and task.

    It holds structures and values: it is for this company's eyes.
    """
    from agent.files import write_atomic
    from agent.keeper.export import curated_table

    table = curated_table(load(config_path))
    buffer = io.BytesIO()
    if file_format == "parquet":
        table.write_parquet(buffer)
    else:
        table.write_csv(buffer)
    if output is None:
        _to_stdout(buffer.getvalue(), file_format)
        return
    try:
        write_atomic(output, buffer.getvalue())
    except OSError as error:
        raise Stop(f"Cannot write {output}: {error.strerror}.") from error
    click.echo(f"{len(table)} rows in {output}.", err=True)


def _to_stdout(content: bytes, file_format: str) -> None:
    if file_format == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal; name a file with --output.")
    sys.stdout.buffer.write(content)
