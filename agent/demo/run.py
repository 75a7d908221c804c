"""The demo from beginning to end."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from rich.console import Console

from agent.clock import monotonic_s, now, rest, to_text
from agent.demo import bad_releases, held, outcome
from agent.demo.data import SILOS, shares
from agent.demo.display import Display
from agent.demo.masked import Dropout
from agent.demo.parties import Aggregator, Party, enrol, free_ports
from agent.demo.plan import ROUNDS, draft
from agent.demo.silos import Silo, lay_out
from agent.demo.travelling import travelling
from agent.demo.watching import finished, glance
from agent.errors import Stop, TryLater
from agent.files import write_atomic

_LOOK_S = 0.5
_LONGEST_S = 1800.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the demo is to do.

    Attributes:
        keep: Leave everything running until it is stopped.
        rounds: Of the plan.
        bad_releases: After the good releases, publish bad ones.
        by_folder: A silo that exchanges everything by a folder, or None.
        silos: How many.
        masked: Updates are masked, and one silo drops out in the second round.
    """

    keep: bool = False
    rounds: int = ROUNDS
    bad_releases: bool = False
    by_folder: str | None = None
    silos: int = len(SILOS)
    masked: bool = False


def run(
    folder: Path | None, json_path: Path | None, console: Console, stop: Event, wishes: Wishes
) -> None:
    """Runs the demo.

    Args:
        folder: An empty or new folder for all parties; None makes a temporary one.
        json_path: Where the figures go as JSON, or None.
        console: Where to show progress and figures.
        stop: Set it to end early.
        wishes: What else is wished.

    Raises:
        OnggiError: A party failed, a bad release was taken, or the demo took over half an hour.
    """
    start_s = monotonic_s()
    with _place(folder) as root, Display(console, wishes.rounds) as display:
        display.say(f"Everything is under {root}.")
        silos, aggregator = _lay_out(root, display, wishes)
        with (
            _running(silos, aggregator, display, wishes) as parties,
            travelling(aggregator, [silo for silo in silos if silo.name == wishes.by_folder]),
        ):
            dropout = Dropout(aggregator, parties, display) if wishes.masked else None
            _loop(silos, aggregator, parties, display, stop, dropout)
            display.close()
            bad: list[bad_releases.Row] = []
            if wishes.bad_releases:
                bad = bad_releases.rehearse(silos, aggregator, parties, display.say, stop)
            figures = outcome.collect(silos, aggregator.wait(), monotonic_s() - start_s)
            figures |= {"bad_releases": bad} if wishes.bad_releases else {}
            outcome.show(console, figures, silos, lambda: _keep_alive(parties))
            if dropout is not None:
                figures["masked"] = held.show(console, aggregator, silos[0], dropout.silo)
            if json_path is not None:
                content = json.dumps(figures, indent=1, ensure_ascii=False)
                write_atomic(json_path.absolute(), content.encode())
            if wishes.bad_releases:
                bad_releases.show(console, bad)
                bad_releases.check(bad)
            outcome.show_ways_on(console, silos, kept=wishes.keep or folder is not None)
            if wishes.keep:
                console.print("Left running; end it with Ctrl-C.")
                _until_stopped(parties, stop)


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        if folder.exists() and any(folder.iterdir()):
            raise Stop(f"{folder} is not empty; name a new folder, the demo keeps what is there.")
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="onggi-demo-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _lay_out(root: Path, display: Display, wishes: Wishes) -> tuple[list[Silo], Aggregator]:
    display.say("Reading the measured data and giving each compound to one silo.")
    data = shares(wishes.silos)
    ports = free_ports(wishes.silos + 1)
    silos = lay_out(root, data, ports[1:], to_text(now()), wishes.by_folder)
    for name, facts in data.items():
        display.say(f"{name} measured {len(facts)} values.")
    return silos, Aggregator(root / "aggregator", ports[0])


@contextmanager
def _running(
    silos: Sequence[Silo], aggregator: Aggregator, display: Display, wishes: Wishes
) -> Iterator[list[Party]]:
    """Starts everybody, and ends whoever was started, whatever happens."""
    parties = [aggregator.found()]
    try:
        parties[0].keep_alive()
        aggregator.wait()
        display.say("The aggregator runs; enrolling the silos with one-time tokens.")
        for silo in silos:
            parties.append(enrol(aggregator, silo))
            parties[-1].keep_alive()
        for silo in silos:
            silo.drop()
        aggregator.publish_plan(draft(wishes.rounds, masked=wishes.masked))
        display.say("Files are dropped, the plan is published; now the agents are on their own.")
        yield parties
    finally:
        for party in reversed(parties):
            party.end()


def _loop(
    silos: Sequence[Silo],
    aggregator: Aggregator,
    parties: Sequence[Party],
    display: Display,
    stop: Event,
    dropout: Dropout | None = None,
) -> None:
    until_s = monotonic_s() + _LONGEST_S
    while not stop.is_set():
        consortium: dict[str, Any] | None = aggregator.status()
        glances = [glance(silo) for silo in silos]
        display.show(glances, consortium)
        if finished(glances, consortium, 0 if dropout is None else 1):
            return
        if dropout is not None:
            dropout.look()
        if monotonic_s() > until_s:
            raise TryLater("The demo is not done after half an hour; see the logs with --folder.")
        _keep_alive(p for p in parties if dropout is None or p is not dropout.away)
        rest(stop, _LOOK_S)
    raise TryLater("The demo was stopped before its end.")


def _until_stopped(parties: Sequence[Party], stop: Event) -> None:
    while not rest(stop, _LOOK_S):
        _keep_alive(parties)


def _keep_alive(parties: Iterable[Party]) -> None:
    for party in parties:
        party.keep_alive()
