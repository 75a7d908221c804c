"""`onggi-aggregator`: builds objects, maps errors to exit codes; no logic.

Exit codes: 0 done, 1 refused, 2 wrong usage, 75 try later, 78 a person must change something.
"""

import json
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import click

from agent import clock, log
from agent.errors import EXIT_FAILED, OnggiError, Refused
from agent.wire import strict_json
from agent.wire.signed import Signer
from agent.wire.token import encode_token, fingerprint
from consortium.certificate import public_key_sha256
from consortium.enrol import issue_token, make_token
from consortium.folder import Folder, Settings, load_settings, load_signers
from consortium.founding import found, root_sha256
from consortium.membership import renew, revoke
from consortium.plans import read_draft, sign_plan
from consortium.republish_cli import golden, publish
from consortium.serve import serve as run_server
from consortium.status import describe, read_status
from consortium.store import Store, roster
from consortium.tables import MemberRow


class _Sentences(click.Group):
    """Says an error in a sentence and ends with its exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except OnggiError as error:
            _fail(str(error), error.exit_code)
        except OSError as error:
            _fail(f"{error.strerror}: {error.filename}", EXIT_FAILED)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(code)


_folder = click.option(
    "--folder",
    "root",
    type=click.Path(path_type=Path),
    default=Path("aggregator"),
    show_default=True,
    help="The aggregator's folder.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group(cls=_Sentences)
def main() -> None:
    """Runs a consortium: enrols silos, publishes plans, averages updates, publishes releases."""


@main.command()
@click.argument("root", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--consortium", required=True, help="Short name: a-z, 0-9, '.', '_', '-'.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that silos reach.")
@click.option("--port", default=8443, show_default=True, type=click.IntRange(1, 65535))
@click.option("--tls/--no-tls", default=True, help="Plain HTTP is for loopback only.")
@click.option("--reference-sha256", help="Feature reference hash that every silo must reproduce.")
def init(
    root: Path, consortium: str, host: str, port: int, *, tls: bool, reference_sha256: str | None
) -> None:
    """Founds a consortium in a new FOLDER."""
    settings = Settings.parse(
        strict_json.dumps(
            {
                "consortium": consortium,
                "host": host,
                "port": port,
                "tls": tls,
                "reference_sha256": reference_sha256,
            }
        )
    )
    found(root, settings, clock.now())
    click.echo(f"Founded {consortium} in {root}; trust root {root_sha256(Folder(root))}.")


@main.command()
@click.argument("silo")
@click.option("--legal-entity", default="", help="Company name for the roster.")
@click.option("--hours", default=72.0, show_default=True, type=click.FloatRange(min=0.01))
@_folder
def token(silo: str, legal_entity: str, hours: float, root: Path) -> None:
    """Prints a one-time enrolment token for SILO; hand it over in person."""
    folder, now = Folder(root), clock.now()
    settings = load_settings(folder)
    tls = public_key_sha256(folder.certificate) if settings.tls else ""
    fresh = make_token(silo, settings, root_sha256(folder), tls, now + timedelta(hours=hours))
    with closing(Store(folder.database)) as store, store.writing() as session:
        issue_token(session, fresh, legal_entity, now)
    click.echo(encode_token(fresh))


@main.command()
@click.argument("draft_file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--rounds", type=click.IntRange(1), help="Instead of the draft's.")
@click.option("--quorum", type=click.IntRange(1), help="Instead of the draft's.")
@click.option("--deadline-s", type=click.FloatRange(0, min_open=True), help="Of each round.")
@_folder
def plan(
    draft_file: Path, rounds: int | None, quorum: int | None, deadline_s: float | None, root: Path
) -> None:
    """Signs and publishes the plan drafted in FILE (JSON or TOML)."""
    folder, now = Folder(root), clock.now()
    settings, signers = load_settings(folder), load_signers(folder)
    draft = read_draft(draft_file).adjusted(rounds, quorum, deadline_s)
    with closing(Store(folder.database)) as store, store.writing() as session:
        signed = sign_plan(session, draft, settings, signers.offline, now)
    click.echo(
        f"Published plan {signed.plan_id}: {len(signed.participants)} silos, quorum "
        f"{signed.quorum}, {signed.recipe.rounds} rounds."
    )


@main.command()
@_folder
def serve(root: Path) -> None:
    """Serves the consortium until a signal ends it."""
    log.setup()
    run_server(Folder(root))


@main.command()
@_as_json
@_folder
def status(root: Path, *, as_json: bool) -> None:
    """Says which rounds there were, who was counted, and what was refused."""
    folder = Folder(root)
    settings = load_settings(folder)
    with closing(Store(folder.database)) as store, store.reading() as session:
        found = read_status(session, settings.consortium, clock.now())
    click.echo(json.dumps(found, indent=2) if as_json else describe(found))


@main.group("release")
def release_group() -> None:
    """Publishes weights by hand."""


release_group.add_command(publish)
release_group.add_command(golden)


@main.group("roster")
def roster_group() -> None:
    """Shows and changes who takes part."""


@roster_group.command("list")
@_as_json
@_folder
def roster_list(root: Path, *, as_json: bool) -> None:
    """Lists the silos of the roster."""
    with _opened(root) as store, store.reading() as session:
        known = roster(session)
    if as_json:
        click.echo(known.model_dump_json(indent=2))
        return
    click.echo(f"Roster version {known.version} of {known.consortium}, until {known.expires}")
    for member in known.members:
        standing = "revoked" if member.revoked else f"until {member.expires}"
        click.echo(f"{member.silo}\t{member.legal_entity or '-'}\t{standing}")


@roster_group.command("renew")
@_folder
def roster_renew(root: Path) -> None:
    """Lets every silo that is not revoked stay for another year."""
    settings, offline = _authority(root)
    with _opened(root) as store, store.writing() as session:
        known = renew(session, settings.consortium, offline, clock.now())
    click.echo(f"Roster version {known.version} of {known.consortium}, until {known.expires}")


@roster_group.command("revoke")
@click.argument("silo")
@_folder
def roster_revoke(silo: str, root: Path) -> None:
    """Shuts SILO out for good: it cannot connect, and what is held of it is not counted."""
    settings, offline = _authority(root)
    with _opened(root) as store, store.writing() as session:
        known = revoke(session, silo, settings.consortium, offline, clock.now())
    click.echo(f"Revoked {silo}; roster version {known.version} says so.")


@main.command("fingerprint")
@click.argument("silo")
@_folder
def show_fingerprint(silo: str, root: Path) -> None:
    """Prints what the silo's operator sees too; compare it over the telephone."""
    with _opened(root) as store, store.reading() as session:
        member = session.get(MemberRow, silo)
    if member is None:
        raise Refused("unknown_silo", f"No silo {silo!r} is enrolled here.")
    keys = (member.sign_key, member.seal_key, member.courier_key)
    click.echo(fingerprint(root_sha256(Folder(root)), *keys))


def _authority(root: Path) -> tuple[Settings, Signer]:
    folder = Folder(root)
    return load_settings(folder), load_signers(folder).offline


def _opened(root: Path) -> closing[Store]:
    load_settings(Folder(root))  # says so when this is no aggregator's folder
    return closing(Store(Folder(root).database))
