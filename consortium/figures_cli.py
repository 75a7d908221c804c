"""`onggi-aggregator figures`: silos' gate figures of a release, added up and never read singly."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from agent.errors import Refused, Stop
from agent.files import write_atomic
from agent.key_file import load_held
from agent.wire.documents import Roster
from agent.wire.figures import KIND, Figures, FigureSum, opened, summed
from agent.wire.homomorphic import SumKey
from agent.wire.roster import member_of, signing_keys
from agent.wire.signed import key_id, parse, verify
from consortium.folder import Folder, load_settings
from consortium.options import as_json, folder_option
from consortium.options import opened as opened_store
from consortium.store import roster

_FILE = click.Path(path_type=Path)


@click.group("figures")
def figures_group() -> None:
    """Adds up what silos' gates found of a release, encrypted, without a key to open it.

    The key's holder is somebody else, such as one member: he gets the sum, and never a silo's file.
    """


@figures_group.command("key")
@click.option("--out", type=_FILE, required=True, help="The key; it never goes to the aggregator.")
@click.option("--public", type=_FILE, required=True, help="What silos and the aggregator get.")
def make_key(out: Path, public: Path) -> None:
    """Makes the key of sums, at its holder's."""
    key = SumKey.fresh()
    key.save(out)
    write_atomic(public, key.public)
    click.echo(f"Keep {out}; hand {public} to the silos and to the aggregator.")


@figures_group.command("add")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--public", type=_FILE, required=True, help="As the key's holder made it.")
@click.option("--out", type=_FILE, required=True, help="The sum, for the key's holder.")
@folder_option
def add_files(files: tuple[Path, ...], public: Path, out: Path, root: Path) -> None:
    """Checks who signed each of FILES, and adds them."""
    consortium = load_settings(Folder(root)).consortium
    with opened_store(root) as store, store.reading() as session:
        known = roster(session)
    given = [believed(_read(path), known, consortium) for path in files]
    total = summed(given, _read(public))
    write_atomic(out, total.to_bytes())
    click.echo(f"{out}: the sum of {len(total.silos)} silos on {total.release_id}, unread.")


@figures_group.command("open")
@click.argument("file", type=_FILE)
@click.option("--key", "key_file", type=_FILE, required=True)
@as_json
def open_sum(file: Path, key_file: Path, *, as_json: bool) -> None:
    """Opens a sum at the key's holder: the mean change of each head's error."""
    total = FigureSum.parse(_read(file))
    found = opened(total, SumKey("ckks", load_held(key_file, "ckks", None).raw))
    if as_json:
        click.echo(json.dumps({head: asdict(one) for head, one in found.items()}, indent=2))
        return
    for head, one in found.items():
        said = "too few to say" if one.change is None else f"{one.change:+.1%} error in the mean"
        click.echo(f"{head}: {one.silos} silos, {said}")


def believed(content: bytes, known: Roster, consortium: str) -> Figures:
    """Checks that the silo which a file names has signed it.

    Raises:
        Refused: `unknown_signer`, `revoked`, `wrong_consortium`, or a code of `signed.verify`.
    """
    named = Figures.parse(parse(content).payload)
    member = member_of(known, named.silo)
    if member is None:
        raise Refused("unknown_signer", f"No silo {named.silo!r} is in the roster.")
    if member.revoked:
        raise Refused("revoked", f"The key of silo {named.silo} was revoked.")
    keys = {key_id(one): one for one in signing_keys(member)}
    found = Figures.parse(verify(content, KIND, keys))
    if found.consortium != consortium:
        raise Refused("wrong_consortium", f"These figures are for {found.consortium}.")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stop(f"Cannot read {path}: {error.strerror}.") from error
