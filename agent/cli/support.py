"""`onggi support-bundle`: facts for whoever helps, and never data."""

import json
from pathlib import Path

import click

from agent import clock
from agent.config import load
from agent.errors import Stop
from agent.files import write_atomic


@click.command("support-bundle")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.pass_obj
def support_bundle(config_path: Path, file: Path) -> None:
    """Write versions, numbers, states and event names into FILE (JSON), to read and to send.

    No structure, no value, no name of a store, file, host or silo, no path and no key is in it.
    """
    from agent.doctor.facts import gather

    facts = gather(load(config_path), clock.now())
    try:
        write_atomic(file, json.dumps(facts, indent=1).encode(), 0o600)
    except OSError as error:
        raise Stop(f"{file} cannot be written ({error.strerror}); name another place.") from error
    click.echo(f"{file} is plain JSON: read it before you send it.")
