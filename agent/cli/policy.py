"""`onggi policy`: check it, sign it off, show what is in force."""

import json
from pathlib import Path
from typing import Any

import click

from agent.cli.setup import JSON
from agent.clock import now, to_text
from agent.config import Paths, load
from agent.errors import Refused, Stop
from agent.files import sha256_bytes, write_atomic
from agent.keys import load_signing, new_signing
from agent.policy.rules import DEFAULT, Policy, parse_policy, read_policy
from agent.policy.signing import check, look, sign_off, signature_path

FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def policy() -> None:
    """What may be asked of this silo, and what may leave it: checked, signed off, shown."""


@policy.command("check")
@FILE
@JSON
def check_file(file: Path, as_json: bool) -> None:
    """Check a policy file; every fault is shown at once."""
    found, content = read_policy(file)
    if as_json:
        fields = {"sha256": sha256_bytes(content), "policy": found.model_dump(mode="json")}
        click.echo(json.dumps(fields, indent=1))
        return
    click.echo(f"{file} is right: version {found.version}, {sha256_bytes(content)[:16]}.")


@policy.command("sign")
@FILE
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The officer's key, made by `onggi policy key new`.",
)
@click.option("--name", default="", help="The officer's name, for the ledger.")
def sign_file(file: Path, key_file: Path, name: str) -> None:
    """Sign a policy off: the signature is written beside the file."""
    found, content = read_policy(file)
    officer = load_signing(key_file, "officer")
    signed = sign_off(content, found.version, officer, name, to_text(now()))
    try:
        write_atomic(signature_path(file), signed)
    except OSError as error:
        raise Stop(f"Cannot write {signature_path(file)}: {error.strerror}.") from error
    click.echo(f"{signature_path(file)}: version {found.version} is signed off.")
    click.echo(f"The officer's public key is {officer.public_hex}.")


@policy.command("show")
@JSON
@click.pass_obj
def show(config_path: Path, as_json: bool) -> None:
    """Show the policy's file, its signature, and what the keeper has in force."""
    config = load(config_path)
    ledger_path = Paths(config.site.state).ledger
    in_force, standing = _in_force(ledger_path) if ledger_path.exists() else (DEFAULT, {})
    here = _file(config.policy.file, config.policy.officer or str(standing.get("officer", "")))
    if as_json:
        fields = {"file": here, "keeper": standing, "policy": in_force.model_dump(mode="json")}
        click.echo(json.dumps(fields, indent=1))
        return
    click.echo(f"{here['path']}: {here['says']}")
    if standing:
        signed = f"{standing['sha256'][:16]} by {standing['signer'] or standing['officer'][:16]}"
        last = f", last signed off {standing['signed']}, {signed}" if standing["sha256"] else ""
        click.echo(f"The keeper: {standing['state']}{last}. {standing['why']}".rstrip())
    click.echo(json.dumps(in_force.model_dump(mode="json"), indent=1))


@policy.group("key")
def key() -> None:
    """The officer's key."""


@key.command("new")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def new_key(file: Path) -> None:
    """Make an officer's key; keep it off this host where you can."""
    officer = new_signing("officer")
    officer.save(file.absolute())
    click.echo(f"{file}: keep it where only the officer reads it.")
    click.echo(f'In onggi.toml:\n[policy]\nofficer = "{officer.public_hex}"')


def _in_force(ledger_path: Path) -> tuple[Policy, dict[str, Any]]:
    from agent.keeper import status
    from agent.keeper.policing import last_known
    from agent.ledger.book import Ledger

    with Ledger(ledger_path, read_only=True) as ledger:
        return last_known(ledger), status.policy(ledger)


def _file(path: Path, officer: str) -> dict[str, str]:
    found = look(path)
    fields = {"path": str(path), "signer": "", "signed": "", "sha256": ""}
    if found.policy is None and found.signature is None:
        return {**fields, "says": "there is no file"}
    try:
        signed = check(found, officer)
        parse_policy(found.policy or b"", path)
    except (Refused, Stop) as error:
        return {**fields, "says": str(error)}
    about = {"signer": signed.signer, "signed": signed.signed, "sha256": signed.policy_sha256}
    says = f"version {signed.version}, signed off by {signed.signer or signed.key[:16]}"
    return {**fields, **about, "says": f"{says} at {signed.signed}"}
