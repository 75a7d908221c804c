"""`onggi-aggregator audit`: random past rounds of masked sums, opened to somebody from outside."""

import base64
import json
from dataclasses import asdict
from pathlib import Path

import click

from agent import clock
from agent.errors import Stop
from agent.files import write_atomic
from agent.wire.masking.audit import Answers, Challenge
from agent.wire.signed import parse
from consortium.auditing import CHALLENGE, announce, check, show
from consortium.folder import Folder, load_settings, load_signers
from consortium.options import as_json, folder_option, opened

_OUT = click.Path(path_type=Path)
_COIN = "The public value in hexadecimal, which nobody could know when the rounds were announced."


@click.group("audit")
def audit_group() -> None:
    """Lets an auditor open masked vectors of random past rounds, and never a silo's plain update.

    announce; then let a public coin fall, such as a beacon's value at a time that was named before;
    show; each silo answers with `onggi egress answer`; then check, which needs no aggregator.
    """


@audit_group.command("announce")
@click.option("--out", type=_OUT, required=True, help="For the auditor, before the coin falls.")
@folder_option
def announce_rounds(out: Path, root: Path) -> None:
    """Signs which rounds can be looked into; hand the file out before the coin is known."""
    folder = Folder(root)
    settings, signers = load_settings(folder), load_signers(folder)
    with opened(root) as store, store.reading() as session:
        signed = announce(session, folder, settings.consortium, signers.aggregator, clock.now())
    write_atomic(out, signed)
    rounds = json.loads(parse(signed).payload)["rounds"]
    click.echo(f"Announced {len(rounds)} round(s) in {out}; hand it out before the coin falls.")


@audit_group.command("show")
@click.argument("announcement", type=_OUT)
@click.option("--coin", required=True, help=_COIN)
@click.option("--rounds", default=1, show_default=True, type=click.IntRange(1, 500))
@click.option("--out", type=_OUT, required=True, help="A new folder for the auditor.")
@folder_option
def show_rounds(announcement: Path, coin: str, rounds: int, out: Path, root: Path) -> None:
    """Lays everything about the rounds that the coin chose into a folder."""
    asked = Challenge.parse(
        json.dumps(
            {"announcement": _base64(_file(announcement)), "coin": coin.lower(), "count": rounds}
        ).encode()
    )
    with opened(root) as store, store.reading() as session:
        found = show(session, Folder(root), asked, out)
    click.echo(f"The coin chose {', '.join(found)}; {out} has all that is checked.")
    click.echo(f"Ask each silo for `onggi egress answer {CHALLENGE} --out FILE`.")


@audit_group.command("check")
@click.argument("audit", metavar="FOLDER", type=_OUT)
@click.argument("answers", nargs=-1, required=True, type=_OUT)
@click.option("--root-sha256", required=True, help="Of the first trust root, as silos pinned it.")
@as_json
def check_rounds(audit: Path, answers: tuple[Path, ...], root_sha256: str, as_json: bool) -> None:
    """Checks what `show` wrote against the silos' ANSWERS, offline and believing nobody."""
    said = [Answers.parse(_file(path)) for path in answers]
    found = check(audit, root_sha256.lower(), said, clock.now())
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    for one in found:
        then = "and is what moved the weights" if one.moved else "(what it moved was not followed)"
        click.echo(
            f"{one.round_id}: {len(one.silos)} silos sent what they say, acknowledged one set of "
            f"uploads, and their sum is the published one, bit by bit, {then}."
        )


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stop(f"Cannot read {path}: {error.strerror}.") from error


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
