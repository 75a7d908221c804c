"""Commands that prepare a silo: check-config, keygen, enroll."""

import json
from pathlib import Path

import click

from agent.config import Paths, load
from agent.errors import Stop

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine.")


@click.command()
@JSON
@click.pass_obj
def check_config(config_path: Path, as_json: bool) -> None:
    """Check the configuration and the stores' profiles; every fault is shown at once."""
    from agent.keeper.assemble import private_endpoints
    from agent.stores.profile import load_profile

    config = load(config_path)
    faults = []
    for store in config.store:
        try:
            profile = load_profile(store.profile) if store.profile else None
        except Stop as error:
            faults.append(f"store {store.name}: {error}")
            continue
        if profile is None:
            continue
        own = {f"private:{endpoint.id}" for endpoint in (*config.private, *profile.private)}
        named = {entry.endpoint for entry in (*profile.assay, *profile.map)}
        faults += [
            f"store {store.name}: {store.profile} names {name}, and no [[private]] has that id"
            for name in sorted(named - own)
            if name.startswith("private:")
        ]
    try:
        private_endpoints(config)
    except Stop as error:
        faults.append(str(error))
    if faults:
        raise Stop("\n".join(faults))
    if as_json:
        click.echo(config.model_dump_json(indent=1))
    else:
        click.echo(f"{config_path} is right: {len(config.store)} store(s).")


@click.command()
@click.pass_obj
def keygen(config_path: Path) -> None:
    """Make this silo's keys, one for each purpose; keys that exist are kept."""
    from agent.keys import make_identity

    paths = Paths(load(config_path).site.state)
    paths.create()
    identity = make_identity(paths.keys, paths.courier)
    for key in (identity.sign, identity.seal, identity.courier):
        click.echo(f"{key.purpose:8} {key.public_hex}")


@click.command()
@click.option("--token", required=True, help="The one-time token that the consortium handed over.")
@JSON
@click.pass_obj
def enroll(config_path: Path, token: str, as_json: bool) -> None:
    """Enrol this silo: make its keys, send their public halves, pin what the token names."""
    from agent.clock import now
    from agent.exchange.enrol import Applicant, enrol
    from agent.exchange.places import Places
    from agent.features.reference import reference_sha256
    from agent.features.spec import default_spec

    config = load(config_path)
    Paths(config.site.state).create()
    applicant = Applicant(config.site.legal_entity, reference_sha256(default_spec()))
    done = enrol(token, Places.under(config.site.state), applicant, clock=now)
    if as_json:
        fields = {**done.note.model_dump(), "fingerprint": done.fingerprint}
        click.echo(json.dumps(fields, indent=1))
        return
    click.echo(f"Enrolled as {done.note.silo} in {done.note.consortium} at {done.note.url}.")
    click.echo(f"Fingerprint: {done.fingerprint}")
    click.echo("Read it to the consortium's operator over the telephone; both must be the same.")
