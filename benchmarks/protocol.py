"""What the protocol costs beside the bare libraries, in time and in memory.

`python -m benchmarks.protocol [--json PATH] [--parts seal,masking,round,...] [--runs 7]
[--silos 100]`. The peers do the same input and output in the same run: libsodium's secretstream
through PyNaCl from the same file to the same file, and SHA-256 of the same file. `large` uploads
`--silos` times 40 MB to a real aggregator and needs as much disk. Memory is the kernel's own peak
(VmHWM) of a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

from rich.console import Console

from agent.boxes import Inbox
from agent.clock import monotonic_s, now, rest
from agent.wire.documents import Plan
from benchmarks import protocol_parties as parties
from benchmarks import protocol_work as work
from benchmarks.masking import masking_rows
from benchmarks.report import Row, below, median, save, show
from consortium.folder import Folder, load_officers
from consortium.issuing import propose_roster, sign_and_publish
from consortium.rosters import Changes
from consortium.store import Store

_MB = 1_000_000
_SIZE = 40 * _MB
_CIPHER = "bare secretstream"
_STREAM = "bare secretstream, same file to same file"


def _timed(step: Callable[[], object]) -> float:
    start_s = monotonic_s()
    step()
    return monotonic_s() - start_s


def seal_rows(root: Path, runs: int) -> Iterator[Row]:
    """Compares sealing and opening with the bare cipher, and measures their memory."""
    house = work.Bench(root, _SIZE)
    pairs = (
        ("seal + sign 40 MB, in memory", house.seal_to_nowhere, house.only_push, _CIPHER),
        ("open + verify 40 MB, in memory", house.open_from_memory, house.only_pull, _CIPHER),
        ("seal + sign 40 MB", house.seal, house.bare_push, _STREAM),
        ("open + verify 40 MB", house.open, house.bare_pull, _STREAM),
    )
    for name, ours, bare, peer in pairs:
        ours(), bare()
        # In turns, so that whatever else the machine does befalls both.
        times = [(_timed(ours), _timed(bare)) for _ in range(runs)]
        yield _at_rate(name, [a for a, _ in times], peer, [b for _, b in times])
    for name, limit in (("seal", 16.0), ("open", 16.0 + _SIZE / _MB)):
        yield below(f"{name} 40 MB: memory beyond the payload's", [_child(name)], "MB", limit)


def _at_rate(name: str, ours: Sequence[float], peer: str, bare: Sequence[float]) -> Row:
    value, other = median(ours), median(bare)
    ratio = other / value
    met = ratio >= 0.8
    return Row(name, value, "s", peer, other, ratio, "≥ 0.8 x its rate", met, runs=list(ours))


def _child(what: str, size: int = _SIZE) -> float:
    command = [sys.executable, "-m", "benchmarks.protocol_work", what, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def round_rows(root: Path, runs: int) -> Iterator[Row]:
    """Times a round of 20 silos, from the plan's publication until each has the release."""
    times, memory = [], []
    for run in range(min(runs, 3)):
        seconds, megabytes = _round(root / f"round-{run}")
        times.append(seconds)
        memory.append(megabytes)
    yield below("round of 20 silos, 1 M parameters, loopback HTTP", times, "s", 10.0)
    step = _child("aggregate", 4 * _MB) / 4
    yield below("memory of its aggregation step, in updates of 4 MB", [step], "updates", 4.0)
    grown = median(memory)
    yield Row(
        "what the serving process grew by, 20 silos at once, in updates", grown, "", runs=memory
    )


def _round(root: Path) -> tuple[float, float]:
    root.mkdir()
    with parties.serving(root) as consortium:
        silos = parties.enrolled(20, consortium, root)
        parties.forget_peak(consortium.pid)
        before = parties.resident_mb(consortium.pid)
        start_s = monotonic_s()
        consortium.publish(hidden=(480,), quorum=20)
        payload = parties.update_of(Plan.parse(silos[0].wait_for("plan")))
        with ThreadPoolExecutor(20) as pool:  # one process, twenty couriers
            list(pool.map(lambda silo: silo.send(payload), silos))
            list(pool.map(lambda silo: silo.wait_for_release(), silos))
        seconds = monotonic_s() - start_s
        grown = parties.peak_mb(consortium.pid) - before
        for silo in silos:
            silo.close()
    return seconds, grown / (len(payload) / _MB)


def large_rows(root: Path, silos: int) -> Iterator[Row]:
    """Uploads 40 MB for each of many silos and watches the aggregator's memory to the end."""
    (root / "large").mkdir()
    with parties.serving(root / "large") as consortium:
        members = parties.enrolled(silos, consortium, root / "large")
        consortium.publish(hidden=(4000, 400), quorum=silos)
        payload = parties.update_of(Plan.parse(members[0].wait_for("plan")))
        start_s = monotonic_s()
        for silo in members:
            silo.skip_objects()
            silo.send(payload)
        members[0].wait_for_release()
        seconds = monotonic_s() - start_s
        peak = parties.peak_mb(consortium.pid)
        for silo in members:
            silo.close()
    what = f"{silos} silos x {len(payload) / _MB:.0f} MB"
    yield below(f"aggregator's whole memory, {what}", [peak], "MB", 300.0)
    yield Row(f"{what}: sealed, uploaded and averaged", seconds, "s", runs=[seconds])


def poll_rows(root: Path, runs: int) -> Iterator[Row]:
    """Times from a publication until the document is in a silo's inbox, over the long poll."""
    (root / "poll").mkdir()
    times = []
    with parties.serving(root / "poll") as consortium:
        (silo,) = parties.enrolled(1, consortium, root / "poll")
        silo.wait_for("catalogue")
        with ThreadPoolExecutor(1) as pool, closing(_Publisher(consortium.folder)) as publisher:
            for _ in range(min(runs, 5)):
                _forget(silo.inbox)
                found = pool.submit(silo.wait_for, "roster")
                rest(Event(), 0.5)  # by now it waits in a poll
                publisher.publish()
                start_s = monotonic_s()
                found.result()
                times.append(monotonic_s() - start_s)
        silo.close()
    yield below("published until it is in the inbox (long poll)", times, "s", 2.0)


class _Publisher:
    """Publishes a roster as `onggi-aggregator roster renew` does, without starting a process."""

    def __init__(self, root: Path) -> None:
        self._folder = Folder(root)
        self._store = Store(self._folder.database)
        self._officers = load_officers(sorted(self._folder.offline.glob("officer-*.key"))[:2])

    def publish(self) -> None:
        with self._store.writing() as session:
            proposal = propose_roster(session, self._folder, Changes(renew=True), now())
            sign_and_publish(session, self._folder, proposal, self._officers, now())

    def close(self) -> None:
        self._store.close()


def _forget(inbox: Inbox) -> None:
    for letter in inbox.letters():
        inbox.done(letter.name)


def release_rows(root: Path, runs: int) -> Iterator[Row]:
    """Compares a release's verification from files with the SHA-256 of its weights."""
    files = work.Release(root / "release", _SIZE)
    files.verify()
    files.hash()
    times = [(_timed(files.verify), _timed(files.hash)) for _ in range(runs)]
    ours, bare = [a for a, _ in times], [b for _, b in times]
    value, other = median(ours), median(bare)
    met = value <= 1.5 * other
    must = "≤ 1.5 x its SHA-256"
    yield Row(
        "verify a release of 40 MB from files",
        value,
        "s",
        "SHA-256 of its weights' file",
        other,
        other / value,
        must,
        met,
        ours,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table and, if asked to, writes it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.protocol", description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data", type=Path, help="Not used: everything is made here.")
    parser.add_argument("--parts", default="seal,masking,release,poll,round,large")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--silos", type=int, default=100, help="For `large`.")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="onggi-protocol-") as name:
        root = Path(name)
        makers: dict[str, Callable[[], Iterator[Row]]] = {
            "seal": lambda: seal_rows(root, chosen.runs),
            "release": lambda: release_rows(root, chosen.runs),
            "poll": lambda: poll_rows(root, chosen.runs),
            "masking": lambda: masking_rows(chosen.runs),
            "round": lambda: round_rows(root, chosen.runs),
            "large": lambda: large_rows(root, chosen.silos),
        }
        rows = [row for part in chosen.parts.split(",") for row in makers[part]()]
    show(rows, Console(width=150))
    if chosen.json:
        save(rows, chosen.json)


if __name__ == "__main__":
    main()
