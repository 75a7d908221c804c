"""`onggi-aggregator release publish` and `release golden`: an operator's own weights."""

from pathlib import Path

import click

from agent import clock
from agent.files import write_atomic
from consortium.folder import Folder
from consortium.options import folder_option, opened
from consortium.republish import Files, golden_file, publish_weights

_weights = click.option(
    "--weights",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A safetensors file.",
)
_plan_id = click.option("--plan", "plan_id", help="The plan; the one whose round ended last.")


@click.command()
@_weights
@click.option(
    "--golden",
    "golden_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Golden molecules; computed from the weights otherwise.",
)
@_plan_id
@click.option(
    "--unchecked",
    is_flag=True,
    help="For rehearsals: publish what fails the consortium's own checks. Silos refuse it.",
)
@folder_option
def publish(
    weights: Path, golden_path: Path | None, plan_id: str | None, root: Path, *, unchecked: bool
) -> None:
    """Publishes weights as the next release of a plan; every silo checks it as any other."""
    folder = Folder(root)
    files = Files(weights, golden_path, unchecked)
    with opened(root) as store, store.writing() as session:
        release_id = publish_weights(session, folder, plan_id, files, clock.now())
    click.echo(f"Published {release_id}.")


@click.command()
@_weights
@click.option("--output", required=True, type=click.Path(path_type=Path, dir_okay=False))
@_plan_id
@folder_option
def golden(weights: Path, output: Path, plan_id: str | None, root: Path) -> None:
    """Writes what weights answer for the golden molecules."""
    with opened(root) as store, store.reading() as session:
        content = golden_file(session, plan_id, weights)
    write_atomic(output.absolute(), content)
    click.echo(f"Wrote {output}.")
