"""Options that several commands share, and what they mean."""

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import NoReturn

import click
from sqlalchemy.orm import Session

from agent import clock
from agent.errors import EXIT_FAILED, OnggiError, Stop
from consortium.folder import Folder, load_officers, load_settings
from consortium.issuing import publish_signed
from consortium.proposals import Proposal, missing, sign_proposal, write_proposal
from consortium.roots import root_in_force, settle_keys
from consortium.store import Store


class Sentences(click.Group):
    """Says an error in a sentence and ends with its exit code."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except OnggiError as error:
            _fail(str(error), error.exit_code)
        except OSError as error:
            _fail(f"{error.strerror}: {error.filename}", EXIT_FAILED)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(code)


folder_option = click.option(
    "--folder",
    "root",
    type=click.Path(path_type=Path),
    default=Path("aggregator"),
    show_default=True,
    help="The aggregator's folder.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@dataclass(frozen=True, slots=True)
class Ceremony:
    """How a command's proposal gets its signatures.

    Attributes:
        root: The aggregator's folder.
        keys: Officers' keys that are at hand.
        out: Where the proposal goes for others to sign, or None: it is published at once.
    """

    root: Path
    keys: tuple[Path, ...]
    out: Path | None


def officers_sign(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--key`, `--out` and `--folder`, and hands them over as one `Ceremony`."""

    @folder_option
    @click.option(
        "--key",
        "keys",
        multiple=True,
        type=click.Path(path_type=Path),
        help="An officer's key that is at hand; enough of them publish at once.",
    )
    @click.option(
        "--out",
        type=click.Path(path_type=Path),
        help="Write the proposal here, for officers to sign where their keys are.",
    )
    @wraps(command)
    def run(root: Path, keys: tuple[Path, ...], out: Path | None, **others: object) -> None:
        command(ceremony=Ceremony(root, keys, out), **others)

    return run


def opened(root: Path) -> closing[Store]:
    """Opens the database of an aggregator's folder.

    Raises:
        Stop: It is no aggregator's folder.
    """
    load_settings(Folder(root))  # says so when this is no aggregator's folder
    return closing(Store(Folder(root).database))


def conclude(ceremony: Ceremony, make: Callable[[Session], Proposal]) -> None:
    """Makes a proposal, signs it with the keys at hand, and writes it down or publishes it.

    Raises:
        Stop: Neither keys nor a file were named.
        Refused: A code of `make` or of `publish_signed`.
    """
    keys, out = ceremony.keys, ceremony.out
    if not keys and out is None:
        raise Stop(
            "Officers must sign this: name their keys with --key where they are at hand, or a "
            "file with --out, which `onggi-aggregator sign` and `publish` take."
        )
    officers, folder = load_officers(keys), Folder(ceremony.root)
    done: list[str] = []
    with opened(ceremony.root) as store, store.writing() as session:
        proposal = make(session)
        for officer in officers:
            proposal = sign_proposal(proposal, officer)
        if out is None:
            done = publish_signed(session, folder, proposal, clock.now())
    if out is None:
        after_publication(ceremony.root, done)
        return
    write_proposal(out, proposal)
    click.echo(f"Wrote {out}. Each officer runs `onggi-aggregator sign {out} --key KEY`.")
    click.echo("\n".join(missing(proposal)))


def after_publication(root: Path, done: Sequence[str]) -> None:
    """Says what was published, and takes a new online key into use."""
    with opened(root) as store, store.reading() as session:
        settle_keys(Folder(root), root_in_force(session, Folder(root)))
    click.echo(f"Published: {', '.join(done)}.")
