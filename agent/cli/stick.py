"""`onggi import-releases`: releases from a folder, for a silo without a network."""

from pathlib import Path

import click

from agent.config import Paths, load


@click.command("import-releases")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.pass_obj
def import_releases(config_path: Path, folder: Path) -> None:
    """Bring what `onggi-aggregator release export` wrote to FOLDER; the keeper verifies it."""
    from agent.boxes import Inbox
    from agent.exchange.stick import bring_repository

    config = load(config_path)
    inbox = Inbox(Paths(config.site.state).inbox)
    count = bring_repository(folder, inbox, config.releases.channel)
    click.echo(f"Brought {count} file(s); `onggi status` tells what the keeper makes of them.")
