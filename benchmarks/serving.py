"""How fast predict answers over HTTP, beside ADMET-AI on the same molecules.

Bulk is counted in molecules per second of processor time of all of predict's processes, so that it
says "per core" and hardly depends on who else uses the machine. Times of single molecules are the
clock's and do.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from agent import clock
from agent.features.light import light_mol
from agent.features.spec import default_spec
from agent.serving.predictor import Predictor
from benchmarks import peers
from benchmarks.molecules import real_structures, relatives
from benchmarks.report import Row, median, save, show
from benchmarks.serving_release import RELEASE, make_release

REFERENCES = 50_000
_SMALL = 5_325
PEER = ("torch==2.13.0", "admet-ai")
# Within every limit, and yet a third of a second of RDKit's time.
HOSTILE = "CC" + ".*" * 990
_RUNS = 5
_WORKERS = 1
_EVERY = 7  # so that relatives come of all sets

PROGRAM = """
import signal, sys, threading
from pathlib import Path
from agent import log
from agent.config import ServeSection
from agent.serving import server
log.setup("WARNING")
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
section = ServeSection(threads=int(sys.argv[3])).model_copy(update={"port": 0})
server.serve(Path(sys.argv[1]), Path(sys.argv[2]), section, stop)
"""


@dataclass(frozen=True, slots=True)
class Running:
    """Predict as a process, and how long it took until it answered."""

    process: psutil.Process
    port: int
    start_s: float

    def family(self) -> list[psutil.Process]:
        """Returns predict and its workers."""
        return [self.process, *self.process.children()]

    def cpu_s(self) -> float:
        """Returns the processor seconds that predict and its living workers have used."""
        times = [one.cpu_times() for one in self.family()]
        return sum(one.user + one.system for one in times)


@contextmanager
def running(root: Path) -> Iterator[Running]:
    """Runs predict until the block ends."""
    state = root / "state"
    state.mkdir(exist_ok=True)
    (state / "status.json").unlink(missing_ok=True)
    began_s = clock.monotonic_s()
    command = [sys.executable, "-c", PROGRAM, str(root / "releases"), str(state), str(_WORKERS)]
    with subprocess.Popen(command) as process:
        try:
            status: dict[str, object] = {}
            while not status.get("ready"):
                time.sleep(0.01)
                if process.poll() is not None:
                    raise SystemExit("predict did not start; see above")
                status = _status(state)
            took_s = clock.monotonic_s() - began_s
            yield Running(psutil.Process(process.pid), int(str(status["port"])), took_s)
        finally:
            process.terminate()


def _status(state: Path) -> dict[str, object]:
    try:
        found: dict[str, object] = json.loads((state / "status.json").read_bytes())
    except OSError:
        return {}
    return found


class Client:
    """One connection that asks and waits; no more than a socket, so as not to measure itself."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"Host: 127.0.0.1:{port}"

    def ask(self, smiles: str | list[str]) -> float:
        """Asks once and returns the seconds until the answer was there."""
        body = json.dumps({"smiles": smiles}).encode()
        lines = ("POST /v1/predict HTTP/1.1", self._host, f"Content-Length: {len(body)}", "", "")
        asked = "\r\n".join(lines).encode() + body
        began_s = time.perf_counter()
        self._socket.sendall(asked)
        status = self._answer()
        took_s = time.perf_counter() - began_s
        if status != 200:
            raise SystemExit(f"predict answered {status}")
        return took_s

    def _answer(self) -> int:
        said = b""
        while b"\r\n\r\n" not in said:
            said += self._more()
        head, _, body = said.partition(b"\r\n\r\n")
        left = int(re.findall(rb"(?i)\r\ncontent-length: (\d+)", head)[0]) - len(body)
        while left > 0:
            left -= len(self._more())
        return int(head.split(b" ", 2)[1])

    def _more(self) -> bytes:
        if not (part := self._socket.recv(1 << 20)):
            raise SystemExit("predict hung up")
        return part


def singles(port: int, smiles: list[str]) -> list[float]:
    """Asks for one molecule after the other; returns milliseconds, sorted."""
    client = Client(port)
    for text in smiles[:50]:
        client.ask(text)
    return sorted(client.ask(text) * 1e3 for text in smiles)


def share(times: list[float], part: float) -> float:
    """Returns a quantile of sorted times."""
    return times[min(int(len(times) * part), len(times) - 1)]


def bulk(now: Running, smiles: list[str]) -> float:
    """Returns molecules per second of processor time."""
    client = Client(now.port)
    client.ask(smiles)
    before_s = now.cpu_s()
    client.ask(smiles)
    return len(smiles) / (now.cpu_s() - before_s)


@contextmanager
def company(port: int, smiles: str | list[str]) -> Iterator[None]:
    """Lets somebody else ask the same again and again, in a process of his own."""
    code = (
        "import json, sys\nfrom benchmarks.serving import Client\n"
        "asked = json.load(sys.stdin)\nclient = Client(int(sys.argv[1]))\n"
        "while True: client.ask(asked)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(port)], stdin=subprocess.PIPE) as other:
        try:
            feed = other.stdin
            if feed is not None:
                feed.write(json.dumps(smiles).encode())
                feed.close()
            time.sleep(1.0)
            yield
        finally:
            other.kill()


def measured(root: Path, smiles: list[str]) -> list[Row]:
    """Measures predict as it runs."""
    with running(root) as now:
        alone = [singles(now.port, smiles) for _ in range(_RUNS)]
        rows = [
            _at_most("one molecule over loopback HTTP, p50", [share(t, 0.5) for t in alone], 2),
            _at_most("the same, p99", [share(t, 0.99) for t in alone], 8),
        ]
        rates = [bulk(now, smiles) for _ in range(_RUNS)]
        rows.append(
            Row(
                f"bulk over HTTP, 5 members and domain of {REFERENCES:,} references",
                median(rates),
                "/s a core",
                runs=rates,
            )
        )
        usual_ms = median([share(times, 0.99) for times in alone])
        for what, other in (("a hostile structure", HOSTILE), ("10,000 structures", smiles * 10)):
            with company(now.port, other):
                slowed = [share(singles(now.port, smiles), 0.99) for _ in range(_RUNS)]
            later = [max(ms - usual_ms, 0.0) for ms in slowed]
            rows.append(
                _at_most(f"p99 later while somebody else asks {what}, over and over", later, 20)
            )
        memory = [one.memory_full_info().pss / 2**20 for one in now.family()]
        rows.append(
            _at_most("memory of each process, shared pages in parts", memory, 250, "MiB", max)
        )
        start = [now.start_s]
    for _ in range(2):
        with running(root) as again:
            start.append(again.start_s)
    return [*rows, _at_most("start with a release in the page cache", start, 2, "s")]


def _at_most(
    name: str,
    runs: list[float],
    limit: float,
    unit: str = "ms",
    middle: Callable[[list[float]], float] = median,
) -> Row:
    value = middle(runs)
    return Row(name, value, unit, must=f"≤ {limit:g} {unit}", met=value <= limit, runs=runs)


def in_a_small_silo(root: Path, smiles: list[str], known: Sequence[str]) -> Row:
    """Measures bulk with as many references as ExpansionRx has compounds."""
    (root / "releases").mkdir(parents=True)
    make_release(root / "releases", smiles, known[:_SMALL])
    with running(root) as now:
        rates = [bulk(now, smiles) for _ in range(_RUNS)]
    name = f"bulk over HTTP, 5 members and domain of {_SMALL:,} references"
    return Row(name, median(rates), "/s a core", runs=rates)


def walls(root: Path, smiles: list[str]) -> list[Row]:
    """Measures what no serving can be faster than, and one molecule without HTTP."""
    from rdkit.Chem import rdFingerprintGenerator

    spec = default_spec()
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=spec.radius, fpSize=spec.hash_size)
    predictor = Predictor.load(root / "releases" / RELEASE, threads=1)
    rates, times, drawn = [], [], []
    for _ in range(_RUNS):
        began_s = time.process_time()
        for text in smiles:
            morgan.GetCountFingerprint(light_mol(text, "smiles"))
        rates.append(len(smiles) / (time.process_time() - began_s))
        began_s = time.process_time()
        for text in smiles[:100]:
            predictor.write([(text, "smiles")])
        times.append((time.process_time() - began_s) * 10)
        began_s = time.process_time()
        for text in smiles[:100]:
            predictor.write([(text, "smiles")])
            predictor.explain((text, "smiles"), "endpoint0")
        drawn.append((time.process_time() - began_s) * 10)
    name = f"predict and domain over {REFERENCES:,} references, without HTTP, processor time"
    return [
        Row("parse, standardize and fingerprint alone", median(rates), "/s a core", runs=rates),
        Row(name, median(times), "ms", runs=times),
        _at_most("the same with heat map and SVG", drawn, 15),
    ]


def against_peer(rows: list[Row], smiles: list[str], folder: Path) -> list[Row]:
    """Puts ADMET-AI beside the bulk row."""
    path = folder / "molecules.smi"
    path.write_text("\n".join(smiles))
    try:
        python = peers.make(folder / "admet-ai", PEER, "import admet_ai")
        work = Path(__file__).parent / "serving_peer.py"
        runs = [peers.seconds(python, "bulk", path, 0, work) for _ in range(_RUNS)]
        version = peers.versions(python, ("admet-ai",))["admet-ai"]
    except peers.NoPeers as error:
        print(error)
        return rows
    theirs = median([len(smiles) / run for run in runs])
    return [_beside(row, f"ADMET-AI {version}", theirs) for row in rows]


def _beside(row: Row, peer: str, theirs: float) -> Row:
    if not row.name.startswith("bulk") or row.value is None:
        return row
    ratio = row.value / theirs
    return Row(row.name, row.value, row.unit, peer, theirs, ratio, "≥ 60 ×", ratio >= 60, row.runs)


def molecules(data: Path, count: int) -> list[str]:
    """Returns drug-like structures that can be read, evenly spread over what is there."""
    found = [text for text in real_structures(data) if len(text) <= 150 and " " not in text]
    step = max(len(found) // (count + count // 10), 1)
    good = [text for text in found[::step] if not hasattr(light_mol(text, "smiles"), "cause")]
    return good[:count]


def references(data: Path, asked: Sequence[str], count: int) -> list[str]:
    """Returns distinct compounds, none of them asked for: real ones, then relatives of these."""
    left_out = set(asked)
    found = {text: None for text in real_structures(data) if text not in left_out}
    for text in list(found)[::_EVERY]:
        if len(found) >= count:
            break
        found |= {one: None for one in relatives(text) if one not in left_out}
    return list(found)[:count]


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of CSV with SMILES")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, help="keeps the peer's environment here")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--count", type=int, default=1000)
    given = parser.parse_args()
    smiles = molecules(given.data, given.count)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        (root / "releases").mkdir()
        known = references(given.data, smiles, REFERENCES)
        make_release(root / "releases", smiles, known)
        rows = [*measured(root, smiles), in_a_small_silo(root / "small", smiles, known)]
        rows += walls(root, smiles)
        if not given.no_peer:
            rows = against_peer(rows, smiles, given.out or root)
    console = Console(width=160)
    show(rows, console)
    console.print(f"{len(smiles)} molecules; load before the end {os.getloadavg()[0]:.1f}")
    if given.json:
        save(rows, given.json)


if __name__ == "__main__":
    main()
