"""Four bad releases, one after the other, while every endpoint is asked without a pause."""

import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.clock import monotonic_s, rest
from agent.demo.asking import Asker, Counts
from agent.demo.bad_weights import BAD, Bad, publish
from agent.demo.parties import Aggregator, Party
from agent.demo.silos import Silo
from agent.demo.watching import decisions
from agent.errors import OnggiError, TryLater

_LOOK_S = 0.1
_LONGEST_S = 900.0
_ENDS = frozenset({"active", "refused", "rolled back"})

Row = dict[str, Any]
Say = Callable[[str], None]


def rehearse(
    silos: Sequence[Silo],
    aggregator: Aggregator,
    parties: Sequence[Party],
    say: Say,
    stop: Event,
) -> list[Row]:
    """Publishes each bad release and waits until every silo has dealt with it.

    Returns:
        A row for each silo and release: `silo`, `release`, `what`, `state`, `reason`, `why`, how
        often its endpoint was `asked` and `answered` meanwhile, and what the consortium `learned`.

    Raises:
        OnggiError: A party failed; a release took over a quarter of an hour; or `stop` was set.
    """
    last = aggregator.wait()["releases"][-1]
    good = aggregator.folder / "objects" / last["weights_sha256"]
    rows: list[Row] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onggi-bad-")))
        askers = {silo.name: stack.enter_context(Asker(silo)) for silo in silos}
        for bad in BAD:
            before = {name: asker.counts() for name, asker in askers.items()}
            release_id = publish(bad, good, aggregator.folder, folder)
            say(f"The operator publishes {release_id}: {bad.name}.")
            ends = _wait(release_id, bad, silos, aggregator, parties, stop)
            for silo in silos:
                counts = askers[silo.name].counts().since(before[silo.name])
                rows.append(_row(silo, bad, ends[silo.name], counts))
                say(f"{silo.name}: {release_id} {rows[-1]['state']} ({rows[-1]['reason']}).")
    return rows


def _wait(
    release_id: str,
    bad: Bad,
    silos: Sequence[Silo],
    aggregator: Aggregator,
    parties: Sequence[Party],
    stop: Event,
) -> dict[str, Row]:
    until_s = monotonic_s() + _LONGEST_S
    while monotonic_s() < until_s:
        if bad.crashes:
            for silo in silos:
                kill_loading(silo.state / "releases" / release_id)
        found = {silo.name: decisions(silo).get(release_id, {}) for silo in silos}
        learned = _learned(aggregator, release_id)
        if all(one.get("state") in _ENDS and name in learned for name, one in found.items()):
            return {name: {**one, "learned": learned[name]} for name, one in found.items()}
        for party in parties:
            party.keep_alive()
        if rest(stop, _LOOK_S):
            raise TryLater("The demo was stopped before its end.")
    raise TryLater(f"A silo did not decide on {release_id} in time; see the logs with --folder.")


def kill_loading(release: Path) -> int:
    """Kills whoever tries to load a release, as the kernel kills what takes too much memory.

    The demo plays the crash from outside: nothing in the product has a switch for it.

    Returns:
        How many processes that were.
    """
    killed = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"--trial" in words and os.fsencode(release) in words:
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
    return killed


def _learned(aggregator: Aggregator, release_id: str) -> dict[str, str]:
    """Returns what the consortium knows of a release, by silo."""
    releases = (aggregator.status() or {"releases": []})["releases"]
    words = [
        word for one in releases if one["release_id"] == release_id for word in one["verdicts"]
    ]
    return {
        word["silo"]: f"{word['outcome']}: {word['reason']}" if word["reason"] else word["outcome"]
        for word in words
    }


def _row(silo: Silo, bad: Bad, end: Row, counts: Counts) -> Row:
    return {
        "silo": silo.name,
        "release": end["id"],
        "what": bad.name,
        "state": end["state"],
        "expected": bad.reason,
        "reason": end["reason"],
        "why": end["why"],
        "asked": counts.asked,
        "answered": counts.answered,
        "learned": end["learned"],
    }


def show(console: Console, rows: Sequence[Row]) -> None:
    """Prints what each silo did with each bad release, and whether its endpoint kept answering."""
    table = Table(title="Bad releases", title_justify="left", box=None, pad_edge=False)
    for heading in ("what", "silo", "end", "asked", "answered", "the consortium learned"):
        numeric = heading in {"asked", "answered"}
        table.add_column(heading, justify="right" if numeric else "left")
    last = ""
    for row in rows:
        what = f"{row['release']}: {row['what']}"
        counts = (str(row["asked"]), str(row["answered"]))
        cells = (row["silo"], row["state"], *counts, row["learned"])
        table.add_row(what if what != last else "", *cells)
        last = what
    console.print(table)
    console.print("Why, in each silo's own words: `onggi releases`, `onggi status`.\n", style="dim")


def check(rows: Sequence[Row]) -> None:
    """Says so when a bad release was taken, or a question stayed without an answer.

    Raises:
        OnggiError: One was.
    """
    for row in rows:
        if row["state"] == "active" or row["reason"] != row["expected"]:
            raise OnggiError(
                f"{row['silo']} did not refuse {row['release']} as {row['expected']}, but it is "
                f"{row['state']} ({row['reason']}): {row['why']}"
            )
        if row["answered"] < row["asked"]:
            missing = row["asked"] - row["answered"]
            raise OnggiError(f"{row['silo']} left {missing} of {row['asked']} questions open.")
