"""Commands that prepare a silo: check-config, keygen, enroll."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.credentials import CREDENTIALS, rings_of
from agent.config import Config, Paths, load
from agent.errors import Stop

if TYPE_CHECKING:
    from agent.exchange.enrol import Applicant, Enrolled
    from agent.exchange.places import Places

_ASK_AGAIN_S = 10.0
_FILE = click.Path(path_type=Path, dir_okay=False)
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
@CREDENTIALS
@click.pass_obj
def keygen(config_path: Path, credentials: Path | None) -> None:
    """Make this silo's keys, one for each purpose; keys that exist are kept."""
    from agent.clock import now
    from agent.keys import make_identity

    paths = Paths(load(config_path).site.state)
    paths.create()
    rings = rings_of(config_path, credentials)
    identity = make_identity(paths.keys, paths.courier, now(), rings)
    for key in (identity.sign, identity.seal, identity.courier):
        click.echo(f"{key.purpose:8} {key.public_hex}")


@click.command()
@click.option("--token", help="The one-time token that the consortium handed over.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the officers (exit 75).")
@click.option("--request", type=_FILE, help="Without a network: write the request to this file.")
@click.option("--response", type=_FILE, help="Without a network: finish with this file.")
@JSON
@CREDENTIALS
@click.pass_obj
def enroll(  # noqa: PLR0913 - its options
    config_path: Path,
    token: str | None,
    no_wait: bool,
    request: Path | None,
    response: Path | None,
    as_json: bool,
    credentials: Path | None,
) -> None:
    """Enrol this silo: make its keys, send their public halves, pin what the token names.

    The consortium's officers admit it, which may take a while. Stop and start again as you like.
    """
    from agent.clock import now
    from agent.exchange.enrol import take_response
    from agent.exchange.places import Places

    config = load(config_path)
    Paths(config.site.state).create()
    places = Places.under(config.site.state, rings_of(config_path, credentials))
    if response is not None:
        _say_enrolled(take_response(places, response, clock=now), as_json=as_json)
        return
    if token is None:
        raise click.UsageError("Name the token with --token, or a response with --response.")
    if request is not None:
        _write_request(token, places, config, request)
        return
    _say_enrolled(_enrol_online(token, places, config, wait=not no_wait), as_json=as_json)


def _applicant(config: Config) -> "Applicant":
    from agent.exchange.enrol import Applicant
    from agent.features.reference import reference_sha256
    from agent.features.spec import default_spec

    return Applicant(config.site.legal_entity, reference_sha256(default_spec()))


def _write_request(token: str, places: "Places", config: Config, request: Path) -> None:
    from agent.clock import now
    from agent.exchange.enrol import write_request

    asked = write_request(token, places, _applicant(config), request, clock=now)
    click.echo(f"Wrote {request}. Fingerprint: {asked.fingerprint}")
    click.echo(
        "Carry it to the consortium's operator, and read the fingerprint over the telephone. With "
        "the file that comes back, run `onggi enroll --response FILE`."
    )


def _enrol_online(token: str, places: "Places", config: Config, *, wait: bool) -> "Enrolled":
    from threading import Event

    from agent.clock import now, rest
    from agent.errors import TryLater
    from agent.exchange.enrol import Waiting, enrol

    applicant, said = _applicant(config), False
    while isinstance(done := enrol(token, places, applicant, clock=now), Waiting):
        sentence = (
            f"The consortium has the request of {done.silo}; its officers have not admitted it "
            f"yet. Read them this fingerprint over the telephone: {done.fingerprint}."
        )
        if not wait:
            raise TryLater(f"{sentence} Run the same command again later.")
        if not said:
            click.echo(f"{sentence} Waiting; you may stop this and run it again.", err=True)
        said = True
        rest(Event(), _ASK_AGAIN_S)
    return done


def _say_enrolled(done: "Enrolled", *, as_json: bool) -> None:
    if as_json:
        fields = {**done.note.model_dump(), "fingerprint": done.fingerprint}
        click.echo(json.dumps(fields, indent=1))
        return
    click.echo(f"Enrolled as {done.note.silo} in {done.note.consortium} at {done.note.url}.")
    click.echo(f"Fingerprint: {done.fingerprint}")
    click.echo("Read it to the consortium's operator over the telephone; both must be the same.")
