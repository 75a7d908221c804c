"""Commands of the officers: what waits, what would change, sign, publish; rosters and roots."""

import json
from pathlib import Path

import click

from agent import clock
from agent.keys import new_signing
from agent.wire.token import fingerprint
from consortium.enrol import reject
from consortium.folder import Folder, load_officers
from consortium.founding import root_sha256
from consortium.issuing import propose_root, propose_roster, publish_signed
from consortium.options import (
    Ceremony,
    after_publication,
    as_json,
    conclude,
    folder_option,
    officers_sign,
    opened,
)
from consortium.proposals import missing, read_proposal, sign_proposal, write_proposal
from consortium.roots import Handover, prepare_aggregator_key, root_in_force
from consortium.rosters import Changes, applications, rotations
from consortium.store import roster
from consortium.wording import describe_proposal

_proposal_file = click.argument(
    "proposal_file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False)
)
_silos = click.argument("silos", metavar="[SILO]...", nargs=-1)


@click.command()
@_proposal_file
@click.option("--key", "keys", multiple=True, required=True, type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
def sign(proposal_file: Path, keys: tuple[Path, ...], yes: bool) -> None:
    """Shows what FILE would change, then adds the signature of each --key to it.

    Needs the file and the key only: no network, and no aggregator's folder.
    """
    proposal = read_proposal(proposal_file)
    click.echo("\n".join(describe_proposal(proposal)))
    officers = load_officers(keys)
    if not yes:
        click.confirm("Sign this?", abort=True)
    for officer in officers:
        proposal = sign_proposal(proposal, officer)
    write_proposal(proposal_file, proposal)
    click.echo("\n".join(missing(proposal) or ["Signed by enough officers; publish it."]))


@click.command()
@_proposal_file
@folder_option
def publish(proposal_file: Path, root: Path) -> None:
    """Checks the signatures of FILE and publishes it."""
    proposal = read_proposal(proposal_file)
    with opened(root) as store, store.writing() as session:
        done = publish_signed(session, Folder(root), proposal, clock.now())
    after_publication(root, done)


@click.command()
@_proposal_file
def show(proposal_file: Path) -> None:
    """Says what FILE would change, and which signatures it lacks."""
    proposal = read_proposal(proposal_file)
    click.echo("\n".join([*describe_proposal(proposal), *missing(proposal)]))


@click.command("officer-key")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
def officer_key(path: Path) -> None:
    """Makes an officer's key in FILE and prints the public half, for `root rotate --add`."""
    key = new_signing("officer", clock.now())
    key.save(path)
    click.echo(key.public_hex)


@click.group("roster")
def roster_group() -> None:
    """Shows and changes who takes part."""


@roster_group.command("list")
@as_json
@folder_option
def roster_list(root: Path, *, as_json: bool) -> None:
    """Lists the silos of the roster."""
    with opened(root) as store, store.reading() as session:
        known = roster(session)
    if as_json:
        click.echo(known.model_dump_json(indent=2))
        return
    click.echo(f"Roster version {known.version} of {known.consortium}, until {known.expires}")
    for member in known.members:
        standing = "revoked" if member.revoked else f"until {member.expires}"
        click.echo(f"{member.silo}\t{member.legal_entity or '-'}\t{standing}")


@roster_group.command("pending")
@as_json
@folder_option
def roster_pending(root: Path, *, as_json: bool) -> None:
    """Lists what waits for the officers: silos with their fingerprints, and new keys."""
    with opened(root) as store, store.reading() as session:
        sha256 = root_sha256(Folder(root), session)
        silos = [
            {
                "silo": row.silo,
                "legal_entity": row.legal_entity,
                "asked": row.asked,
                "fingerprint": fingerprint(sha256, row.sign_key, row.seal_key, row.courier_key),
            }
            for row in applications(session)
        ]
        keys = [
            {"silo": row.silo, "purpose": row.purpose, "key": row.new_key, "created": row.created}
            for row in rotations(session)
        ]
    if as_json:
        click.echo(json.dumps({"enrolments": silos, "rotations": keys}, indent=2))
        return
    for one in silos:
        click.echo(f"{one['silo']}\t{one['legal_entity'] or '-'}\tenrolment\t{one['fingerprint']}")
    for one in keys:
        click.echo(f"{one['silo']}\tnew key to {one['purpose']}\t{one['key']}")
    if not silos and not keys:
        click.echo("Nothing waits.")


def _change(ceremony: Ceremony, changes: Changes) -> None:
    now, folder = clock.now(), Folder(ceremony.root)
    conclude(ceremony, lambda session: propose_roster(session, folder, changes, now))


@roster_group.command("propose")
@click.option("--renew", is_flag=True, help="Every silo stays for another year.")
@click.option("--revoke", multiple=True, metavar="SILO", help="Shut this silo out for good.")
@officers_sign
def roster_propose(ceremony: Ceremony, renew: bool, revoke: tuple[str, ...]) -> None:
    """Puts all that waits into one roster: admissions and new keys, and what the options say."""
    _change(ceremony, Changes(admit=None, rotate=None, renew=renew, revoke=revoke))


@roster_group.command("admit")
@_silos
@officers_sign
def roster_admit(ceremony: Ceremony, silos: tuple[str, ...]) -> None:
    """Admits the SILOs that wait, all of them if none is named."""
    _change(ceremony, Changes(admit=silos or None))


@roster_group.command("reject")
@click.argument("silo")
@folder_option
def roster_reject(silo: str, root: Path) -> None:
    """Sends SILO, which waits for admission, away; its token is used up."""
    with opened(root) as store, store.writing() as session:
        reject(session, silo)
    click.echo(f"Rejected {silo}.")


@roster_group.command("renew")
@officers_sign
def roster_renew(ceremony: Ceremony) -> None:
    """Lets every silo that is not revoked stay for another year."""
    _change(ceremony, Changes(renew=True))


@roster_group.command("revoke")
@click.argument("silo")
@officers_sign
def roster_revoke(ceremony: Ceremony, silo: str) -> None:
    """Shuts SILO out for good: it cannot connect, and what is held of it is not counted."""
    _change(ceremony, Changes(revoke=(silo,)))


@roster_group.command("rotate")
@_silos
@officers_sign
def roster_rotate(ceremony: Ceremony, silos: tuple[str, ...]) -> None:
    """Takes in the new keys that SILOs asked for, those of all silos if none is named."""
    _change(ceremony, Changes(rotate=silos or None))


@click.group("root")
def root_group() -> None:
    """Shows and changes the trust root: who signs what."""


@root_group.command("show")
@folder_option
def root_show(root: Path) -> None:
    """Prints the keys and thresholds of each role."""
    with opened(root) as store, store.reading() as session:
        known, sha256 = root_in_force(session, Folder(root)), root_sha256(Folder(root), session)
    click.echo(f"Trust root version {known.version}, until {known.expires}, {sha256}")
    for role, held in sorted(known.roles.items()):
        names = ", ".join(name[:16] for name in sorted(held.keys))
        click.echo(f"{role}\t{held.threshold} of {len(held.keys)}\t{names}")


@root_group.command("rotate")
@click.option("--add", multiple=True, metavar="PUBLIC", help="Public key of a new officer.")
@click.option("--remove", multiple=True, metavar="KEYID", help="An officer who leaves.")
@click.option("--threshold", type=click.IntRange(1), help="How many officers must sign.")
@click.option("--aggregator", is_flag=True, help="Give the aggregator a new online key.")
@officers_sign
def root_rotate(
    ceremony: Ceremony,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    threshold: int | None,
    aggregator: bool,
) -> None:
    """Proposes the next trust root, good for ten years; the old officers and the new ones sign.

    The roster, the catalogue and running plans go with it, for the new officers to sign as well.
    """
    now, folder = clock.now(), Folder(ceremony.root)
    online = prepare_aggregator_key(folder, now) if aggregator else ""
    handover = Handover(add, remove, threshold, online)
    conclude(ceremony, lambda session: propose_root(session, folder, handover, now))


for _group in (roster_group, root_group):
    for _command in (sign, publish, show):
        if _command.name not in _group.commands:
            _group.add_command(_command)
