"""`onggi card`: what a release predicts, how well, and where, as a page or JSON."""

from pathlib import Path

import click

from agent.cli.setup import JSON
from agent.config import Paths, load
from agent.errors import Refused, Stop
from agent.files import write_atomic


@click.command()
@JSON
@click.option("--release", "release_id", help="Which release; the active one otherwise.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the page to this file (onggi-card-RELEASE.html otherwise).",
)
@click.pass_obj
def card(config_path: Path, as_json: bool, release_id: str | None, html: Path | None) -> None:
    """Write a release's model card: errors, intervals, domain, and why each head is what it is."""
    from agent.releases.card import read_card
    from agent.releases.card_page import card_page
    from agent.releases.folder import active_id, path_of

    releases = Paths(load(config_path).site.state).releases
    chosen = release_id or active_id(releases)
    if chosen is None:
        raise Refused("no_release", "No release is active yet; name one with --release.")
    found = read_card(path_of(releases, chosen))
    if as_json:
        click.echo(found.model_dump_json(indent=1))
        if html is None:
            return
    target = html or Path(f"onggi-card-{chosen}.html")
    try:
        write_atomic(target, card_page(found))
    except OSError as error:
        raise Stop(f"Cannot write {target}: {error.strerror}. Name another --html.") from error
    click.echo(f"Written to {target}.", err=as_json)
