"""`onggi demo`: the whole loop on measured data, on this machine alone."""

from pathlib import Path

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
    "--bad-releases",
    is_flag=True,
    help="Then publish four bad releases, and ask every endpoint all the while.",
)
@click.option("--rounds", type=click.IntRange(1, 50), help="Instead of ten.", hidden=True)
def demo(
    json_path: Path | None,
    folder: Path | None,
    keep: bool,
    bad_releases: bool,
    rounds: int | None,
) -> None:
    """Three silos and an aggregator learn together on measured data; about five minutes."""
    from agent.cli.services import stop_event
    from agent.demo.plan import ROUNDS
    from agent.demo.run import Wishes, run

    wishes = Wishes(keep=keep, rounds=rounds or ROUNDS, bad_releases=bad_releases)
    run(folder, json_path, Console(), stop_event(supervised=False), wishes)
