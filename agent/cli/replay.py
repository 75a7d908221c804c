"""`onggi replay ROUND`: a masked sum, computed again from what the aggregator published."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent import clock
from agent.cli.setup import JSON
from agent.config import Config, Paths, load
from agent.errors import Refused

if TYPE_CHECKING:
    from agent.exchange.records import Fetched
    from agent.ledger.book import Ledger
    from agent.wire.masking.record import Replayed


_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def _round_id(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise click.BadParameter("a round's id is one like `plan.r3.a1`; see `onggi status`.")
    return value


@click.command()
@click.argument("round_id", metavar="ROUND", callback=_round_id)
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A record that `onggi-aggregator record` wrote, instead of asking the aggregator.",
)
@JSON
@click.pass_obj
def replay(config_path: Path, round_id: str, folder: Path | None, as_json: bool) -> None:
    """Compute the sum of the masked ROUND again, bit by bit.

    Checks each signature, each silo's conditions, the published seeds and the vectors, and that
    what this silo sent and was shown is in it. Vectors stay at the aggregator until the plan's
    next round is over.
    """
    from agent.ledger.book import Ledger
    from agent.wire.masking.record import replay_record

    config = load(config_path)
    now = clock.now()
    with Ledger(Paths(config.site.state).ledger, read_only=True) as ledger:
        trusted = _trusted(config, ledger, now)
        with _source(config, round_id, folder) as found:
            done = replay_record(found.record, round_id, trusted, found.vector_of)
            own = _own_part(ledger, round_id, done, found)
    report = _report(done, own)
    click.echo(json.dumps(report, indent=1) if as_json else _sentences(report))


def _trusted(config: Config, ledger: "Ledger", now: datetime) -> Any:  # noqa: ANN401
    from agent.exchange.places import Places, read_enrolment
    from agent.keeper.trust import open_trust

    places = Places.under(config.site.state)
    enrolment = read_enrolment(places)
    return open_trust(places.trust, enrolment.root_sha256, ledger, now)


@contextmanager
def _source(config: Config, round_id: str, folder: Path | None) -> Iterator["Fetched"]:
    from agent.exchange.places import Places
    from agent.exchange.records import fetched, from_folder

    if folder is not None:
        yield from_folder(folder)
        return
    places = Places.under(config.site.state)
    ca_file = config.exchange.ca_file
    with fetched(places, round_id, clock=clock.now, ca_file=ca_file) as found:
        yield found


def _own_part(ledger: "Ledger", round_id: str, done: "Replayed", found: "Fetched") -> str:
    """Returns this silo's name where its own upload is in the sum, else nothing.

    Raises:
        Refused: `equivocation`: this silo was shown other documents, or sent another upload.
    """
    from agent.keeper.masking import kept_upload

    for part in ("keys", "uploads"):
        shown = ledger.document("handout", f"{round_id}/{part}")
        if shown is not None and shown != found.record[part]:
            raise Refused(
                "equivocation",
                f"This silo was handed another set of {part} than the record has; keep both as "
                "evidence, and tell the other silos.",
            )
    sent = kept_upload(ledger, round_id)
    own = [silo for silo, content in done.uploads.messages.items() if content == sent]
    return own[0] if own else ""


def _report(done: "Replayed", own: str) -> dict[str, Any]:
    return {
        "round": done.round_id,
        "silos": list(done.uploads.uploads),
        "dropped": list(done.dropped),
        "groups": {name: len(who) for name, who in done.uploads.contributors.items()},
        "words": done.keys.layout.words,
        "sum_sha256": done.sum_sha256,
        "own": own,
    }


def _sentences(report: dict[str, Any]) -> str:
    silos, dropped = report["silos"], report["dropped"]
    lines = [
        f"The sum of {report['round']} is what its vectors and seeds come to, bit by bit: "
        f"{report['words']:,} words, SHA-256 {report['sum_sha256']}.",
        f"In it: {', '.join(silos)}. "
        + (
            f"Dropped out after their keys: {', '.join(dropped)}."
            if dropped
            else "Nobody dropped out."
        ),
        f"This silo's own upload is in it as it was sent ({report['own']})."
        if report["own"]
        else "This silo has no upload in it.",
    ]
    return "\n".join(lines)
