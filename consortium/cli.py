"""`onggi-aggregator`: builds objects, maps errors to exit codes; no logic.

Exit codes: 0 done, 1 refused, 2 wrong usage, 75 try later, 78 a person must change something.
"""

import json
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import click
from sqlalchemy.orm import Session

from agent import clock, log
from agent.errors import Refused, Stop, TryLater
from agent.files import write_atomic
from agent.wire import strict_json
from agent.wire.documents import Catalogue, EnrolmentPending
from agent.wire.statements import Proof
from agent.wire.token import encode_token, fingerprint
from consortium.audit_cli import audit_group
from consortium.carry_cli import carry, evidence_group, record
from consortium.certificate import public_key_sha256
from consortium.enrol import Enrolment, issue_token, make_token
from consortium.figures_cli import figures_group
from consortium.folder import Folder, Settings, load_settings
from consortium.founding import Council, found, root_sha256
from consortium.issuing import propose_catalogue, propose_plan, propose_roster
from consortium.officers_cli import officer_key, publish, root_group, roster_group, show, sign
from consortium.options import (
    Ceremony,
    Sentences,
    as_json,
    conclude,
    folder_option,
    officers_sign,
    opened,
)
from consortium.plans import complete, read_draft
from consortium.proposals import Proposal
from consortium.release_cli import release_group, tuf_group
from consortium.rosters import Changes
from consortium.rotation import Rotations
from consortium.serve import serve as run_server
from consortium.starting import read_start, starting_from
from consortium.statements import check_proof, restart_egress
from consortium.status import describe, read_status
from consortium.store import Store
from consortium.tables import ApplicationRow, MemberRow


@click.group(cls=Sentences)
def main() -> None:
    """Runs a consortium: enrols silos, publishes plans, averages updates, publishes releases."""


@main.command()
@click.argument("root", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--consortium", required=True, help="Short name: a-z, 0-9, '.', '_', '-'.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that silos reach.")
@click.option("--port", default=8443, show_default=True, type=click.IntRange(1, 65535))
@click.option("--tls/--no-tls", default=True, help="Plain HTTP is for loopback only.")
@click.option("--reference-sha256", help="Feature reference hash that every silo must reproduce.")
@click.option("--officers", default=3, show_default=True, type=click.IntRange(1))
@click.option("--threshold", default=2, show_default=True, type=click.IntRange(1))
@click.option("--channel", default="stable", type=click.Choice(["stable", "canary"]))
@click.option(
    "--audit-rounds",
    default=1,
    show_default=True,
    type=click.IntRange(1, 500),
    help="Of how many of a plan's last masked rounds the vectors are kept, for audits.",
)
def init(root: Path, officers: int, threshold: int, **told: str | int | bool | None) -> None:
    """Founds a consortium in a new FOLDER, with the keys of its officers in FOLDER/offline.

    --threshold of the --officers sign every roster, plan, catalogue and trust root, and as many of
    their keys for the release repository; a release that a plan yields goes to --channel by itself.
    """
    settings = Settings.parse(strict_json.dumps({**told}))
    found(root, settings, clock.now(), Council(officers, threshold))
    folder = Folder(root)
    click.echo(f"Founded {settings.consortium} in {root}; trust root {root_sha256(folder)}.")
    click.echo(
        f"{folder.offline} holds the keys of {officers} officers, of whom {threshold} sign. Carry "
        "each to its officer now, and leave none here: the server never needs them."
    )


@main.command()
@click.argument("silo")
@click.option("--legal-entity", default="", help="Company name for the roster.")
@click.option("--hours", default=72.0, show_default=True, type=click.FloatRange(min=0.01))
@folder_option
def token(silo: str, legal_entity: str, hours: float, root: Path) -> None:
    """Prints a one-time enrolment token for SILO; hand it over in person."""
    folder, now = Folder(root), clock.now()
    settings = load_settings(folder)
    tls = public_key_sha256(folder.certificate) if settings.tls else ""
    with closing(Store(folder.database)) as store, store.writing() as session:
        pinned = root_sha256(folder, session)
        fresh = make_token(silo, settings, pinned, tls, now + timedelta(hours=hours))
        issue_token(session, fresh, legal_entity, now)
    click.echo(encode_token(fresh))


@main.command()
@click.argument("draft_file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--rounds", type=click.IntRange(1), help="Instead of the draft's.")
@click.option("--quorum", type=click.IntRange(1), help="Instead of the draft's.")
@click.option("--deadline-s", type=click.FloatRange(0, min_open=True), help="Of each round.")
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    help="Begin with these weights (safetensors), such as an earlier release's.",
)
@officers_sign
def plan(
    draft_file: Path,
    rounds: int | None,
    quorum: int | None,
    deadline_s: float | None,
    start: Path | None,
    ceremony: Ceremony,
) -> None:
    """Completes the plan drafted in FILE (JSON or TOML), for the officers to sign."""
    folder, now = Folder(ceremony.root), clock.now()
    settings = load_settings(folder)
    draft = read_draft(draft_file).adjusted(rounds, quorum, deadline_s)
    weights = None if start is None else read_start(start)

    def make(session: Session) -> Proposal:
        whole = complete(session, draft, settings, now)
        if weights is not None:
            whole = starting_from(whole, weights, folder.objects)
        click.echo(
            f"Plan {whole.plan_id}: {len(whole.participants)} silos, quorum {whole.quorum}, "
            f"{whole.recipe.rounds} rounds."
        )
        return propose_plan(session, folder, whole)

    conclude(ceremony, make)


@main.command()
@click.argument("catalogue_file", metavar="FILE", type=click.Path(path_type=Path))
@officers_sign
def catalogue(catalogue_file: Path, ceremony: Ceremony) -> None:
    """Puts the catalogue in FILE (JSON) in the place of the present one; the officers sign it."""
    new, folder = _catalogue(catalogue_file), Folder(ceremony.root)
    conclude(ceremony, lambda session: propose_catalogue(session, folder, new))


@main.command("enrol")
@click.argument("request_file", metavar="FILE", type=click.Path(path_type=Path))
@officers_sign
def enrol_file(request_file: Path, ceremony: Ceremony) -> None:
    """Takes the request FILE of a silo that has no network, and writes the response to --out.

    With enough officers' keys at hand the silo is admitted at once; otherwise run it again when the
    officers have signed a roster with it.
    """
    if ceremony.out is None:
        raise Stop("Name the file for the response with --out.")
    content, folder = _file(request_file), Folder(ceremony.root)
    settings, now = load_settings(folder), clock.now()
    with closing(Store(folder.database)) as store:
        enrolment = Enrolment(store, settings)
        reply = enrolment.enrol(content, now)
        if ceremony.keys and not reply.admitted:
            changes = Changes(admit=(EnrolmentPending.parse(reply.content).silo,))
            at_once = replace(ceremony, out=None)
            conclude(at_once, lambda session: propose_roster(session, folder, changes, now))
            reply = enrolment.enrol(content, now)
    if not reply.admitted:
        raise TryLater(
            "The request is kept; compare its fingerprint (`roster pending`), have the officers "
            "sign a roster, then run this again."
        )
    write_atomic(ceremony.out, reply.content)
    click.echo(f"Wrote {ceremony.out}; carry it to the silo, for `onggi enroll --response`.")


@main.command("rotation")
@click.argument("request_file", metavar="FILE", type=click.Path(path_type=Path))
@folder_option
def rotation_file(request_file: Path, root: Path) -> None:
    """Takes the request FILE that `onggi keys rotate` wrote at a silo that has no network."""
    content, settings = _file(request_file), load_settings(Folder(root))
    with closing(Store(Folder(root).database)) as store:
        state = Rotations(store, settings.consortium).take(content)
    click.echo(f"{state.decode()}; see `onggi-aggregator roster pending`.")


@main.command()
@folder_option
def serve(root: Path) -> None:
    """Serves the consortium until a signal ends it."""
    log.setup()
    run_server(Folder(root))


@main.command()
@as_json
@folder_option
def status(root: Path, *, as_json: bool) -> None:
    """Says which rounds there were, who was counted, and what was refused."""
    folder = Folder(root)
    settings = load_settings(folder)
    with closing(Store(folder.database)) as store, store.reading() as session:
        found = read_status(session, folder, settings.consortium, clock.now())
    click.echo(json.dumps(found, indent=2) if as_json else describe(found))


@main.command("fingerprint")
@click.argument("silo")
@folder_option
def show_fingerprint(silo: str, root: Path) -> None:
    """Prints what the silo's operator sees too; compare it over the telephone."""
    with opened(root) as store, store.reading() as session:
        member = session.get(MemberRow, silo) or session.get(ApplicationRow, silo)
        sha256 = root_sha256(Folder(root), session)
    if member is None:
        raise Refused("unknown_silo", f"No silo {silo!r} is enrolled here, or waits to be.")
    keys = (member.sign_key, member.seal_key, member.courier_key)
    click.echo(fingerprint(sha256, *keys))


@main.command("verify-egress")
@click.argument("file", type=click.Path(path_type=Path))
@folder_option
@as_json
def verify_egress(file: Path, root: Path, *, as_json: bool) -> None:
    """Checks a proof that `onggi egress prove` wrote: what a silo let out, or did not."""
    proof = Proof.parse(file.read_bytes())
    with opened(root) as store, store.reading() as session:
        found = check_proof(session, proof)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo("\n".join(f"{name:14} {value}" for name, value in found.items()))


@main.command("restart-egress")
@click.argument("silo")
@folder_option
def restart_egress_log(silo: str, root: Path) -> None:
    """Lets a silo that was restored from an old copy go on with its egress log."""
    with opened(root) as store, store.writing() as session:
        restart_egress(session, silo, clock.now())
    click.echo(f"The next root of {silo} may go on from any other; what came before is kept.")


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stop(f"Cannot read {path}; name the file that the silo wrote.") from error


def _catalogue(path: Path) -> Catalogue:
    try:
        return Catalogue.parse(path.read_bytes())
    except OSError as error:
        raise Stop(f"Cannot read {path}; name a catalogue in JSON.") from error


for _group in (
    release_group,
    tuf_group,
    roster_group,
    root_group,
    evidence_group,
    audit_group,
    figures_group,
):
    main.add_command(_group)
for _command in (sign, publish, show, officer_key, carry, record):
    main.add_command(_command)
