"""`onggi demo`: the whole loop on measured data, on this machine alone."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console


@click.command()
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the figures to this file.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep all parties' files here (a temporary folder otherwise).",
)
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
@click.option(
    "--by-folder",
    metavar="SILO",
    type=click.Choice(["silo-a", "silo-b", "silo-c"]),
    help="Let this silo have no connection: its files go by a folder.",
)
@click.option(
    "--bad-releases",
    is_flag=True,
    help="Then publish four bad releases, and ask every endpoint all the while.",
)
@click.option(
    "--silos",
    type=click.IntRange(3, 6),
    default=3,
    show_default=True,
    help="How many; each has its share of the same data.",
)
@click.option(
    "--masked",
    is_flag=True,
    help="With six silos: the aggregator learns sums only, and one silo drops out mid-round.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 50),
    help="Instead of ten; of four with --masked.",
    hidden=True,
)
def demo(json_path: Path | None, folder: Path | None, **wished: Any) -> None:  # noqa: ANN401
    """Silos and an aggregator learn together on measured data; about five minutes."""
    from agent.cli.services import stop_event
    from agent.demo import masked
    from agent.demo.run import Wishes, run

    if wished["masked"] and wished["silos"] < masked.SILOS:
        raise click.UsageError("A masked sum hides nobody among so few; add `--silos 6`.")
    if wished["masked"] and wished["rounds"] is None:
        wished["rounds"] = masked.ROUNDS
    wishes = Wishes(**{name: value for name, value in wished.items() if value is not None})
    run(folder, json_path, Console(), stop_event(supervised=False), wishes)
