"""`onggi backup` and `onggi restore`."""

import json
from pathlib import Path

import click

from agent import clock
from agent.cli.setup import JSON
from agent.config import Config, Paths, load
from agent.files import sha256_file

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("file", type=_FILE)
@JSON
@click.pass_obj
def backup(config_path: Path, file: Path, as_json: bool) -> None:
    """Write keys, trust, ledger and what saves work into FILE, while the services run.

    The file holds the signing key and assays: keep it as you keep the assays.
    """
    from agent.backup.archive import write

    config = load(config_path)
    state = Paths(config.site.state).state
    manifest = write(state, _configuration(config, config_path), file, clock.now())
    sha256, size = sha256_file(file), file.stat().st_size
    if as_json:
        said = {"file": str(file), "files": len(manifest.files), "bytes": size, "sha256": sha256}
        click.echo(json.dumps(said))
        return
    click.echo(f"{file} holds {len(manifest.files)} files, {size / 1e6:.1f} MB. Its SHA-256:")
    click.echo(sha256)


def _configuration(config: Config, config_path: Path) -> list[Path]:
    policy = config.policy.file
    files = [config_path, policy, policy.with_name(f"{policy.name}.sig"), config.exchange.ca_file]
    return [path for path in (*files, *(store.profile for store in config.store)) if path]


@click.command()
@click.argument("file", type=_FILE)
@click.pass_obj
def restore(config_path: Path, file: Path) -> None:
    """Bring a backup into an empty state; the silo then enrols anew, under a new name.

    Trust is never wound back: the backup's keys and what it had pinned are not brought back.
    """
    from agent.backup.restore import restore as bring_back

    paths = Paths(load(config_path).site.state)
    manifest = bring_back(file, paths, clock.now())
    click.echo(f"The backup of {manifest.created} is in {paths.state}. No service starts yet.")
    click.echo("Next:")
    click.echo("  1. Ask the consortium to revoke the former silo, and for a token of a new name.")
    click.echo("  2. onggi enroll --token TOKEN")
    click.echo("  3. systemd-tmpfiles --create onggi.conf, then start the services.")
    click.echo(f"The configuration is in the backup: tar -xf {file} etc")
