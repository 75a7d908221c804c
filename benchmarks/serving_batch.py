"""A file of structures through `/v1/batch`, to a file: how long, and in how much memory."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path

import psutil
from rich.console import Console

from agent import clock
from agent.processes import cores
from benchmarks.report import Row, save, show
from benchmarks.serving import PROGRAM, REFERENCES, molecules
from benchmarks.serving_release import make_release

MILLION = 1_000_000
LIMIT_S = 480


@dataclass
class Watched:
    """Predict and its children, looked at four times a second."""

    process: psutil.Process
    port: int
    memory_mb: float = 0.0
    cpu_s: dict[int, float] = field(default_factory=dict)

    def look(self, stop: threading.Event) -> None:
        """Notes processor time and the largest memory of all together, until told to stop."""
        while not clock.rest(stop, 0.25):
            shared = 0.0
            for one in [self.process, *self.process.children(recursive=True)]:
                try:
                    times = one.cpu_times()
                    self.cpu_s[one.pid] = times.user + times.system
                    shared += one.memory_full_info().pss / 2**20
                except psutil.Error:
                    continue  # it ended
            self.memory_mb = max(self.memory_mb, shared)


@contextmanager
def running(root: Path, workers: int) -> Iterator[Watched]:
    """Runs predict until the block ends."""
    state = root / "state"
    state.mkdir()
    command = [sys.executable, "-c", PROGRAM, str(root / "releases"), str(state), str(workers)]
    with subprocess.Popen(command) as process:
        stop = threading.Event()
        try:
            port = 0
            while not port:
                time.sleep(0.05)
                if (state / "status.json").exists():
                    status = json.loads((state / "status.json").read_bytes())
                    port = status["port"] if status["ready"] else 0
            watched = Watched(psutil.Process(process.pid), port)
            threading.Thread(target=watched.look, args=(stop,), daemon=True).start()
            yield watched
        finally:
            stop.set()
            process.terminate()


def write_file(path: Path, smiles: Sequence[str], rows: int) -> None:
    """Writes a CSV as a registration system exports it: number, structure, name, project."""
    with path.open("w", encoding="utf-8") as handle:
        handle.write("id,smiles,name,project\n")
        for row in range(rows):
            handle.write(f'C{row:07},{smiles[row % len(smiles)]},"compound, no. {row}",alpha\n')


def through(now: Watched, given: Path, found: Path, kind: str) -> float:
    """Sends a file and fetches its answer; returns seconds."""
    began_s = clock.monotonic_s()
    connection = HTTPConnection("127.0.0.1", now.port)
    with given.open("rb") as handle:
        headers = {"Content-Length": str(given.stat().st_size)}
        connection.request("POST", "/v1/batch?format=csv", handle, headers)
        job = json.loads(connection.getresponse().read())
    while job["state"] not in ("done", "failed"):
        time.sleep(0.1)
        connection.request("GET", job["links"]["self"])
        job = json.loads(connection.getresponse().read())
    if job["state"] == "failed":
        raise SystemExit(f"the job failed: {job['problem']}")
    done_s = clock.monotonic_s()
    connection.request("GET", f"{job['links']['result']}?format={kind}")
    with found.open("wb") as out:
        shutil.copyfileobj(connection.getresponse(), out, 1 << 20)
    took_s = clock.monotonic_s() - began_s
    print(f"answered after {done_s - began_s:.1f} s, all there after {took_s:.1f} s")
    return took_s


def measured(root: Path, smiles: Sequence[str], rows: int, kind: str) -> list[Row]:
    """Sends one file of so many rows."""
    given, found = root / "in.csv", root / f"out.{kind}"
    write_file(given, smiles, rows)
    with running(root, cores()) as now:
        write_file(root / "warm.csv", smiles, 500)
        through(now, root / "warm.csv", root / "warm", kind)
        before_s = sum(now.cpu_s.values())
        took_s = through(now, given, found, kind)
        time.sleep(0.5)
        cpu_s = sum(now.cpu_s.values()) - before_s
        memory_mb = now.memory_mb
    million_s = took_s * MILLION / rows
    name = f"{rows:,} compounds from CSV to {kind}, over HTTP"
    return [
        Row(name, took_s, "s"),
        Row(
            "a million at that rate",
            million_s,
            "s",
            must=f"≤ {LIMIT_S} s",
            met=million_s <= LIMIT_S,
        ),
        Row("processor time of a compound, all processes", cpu_s / rows * 1e6, "µs"),
        Row("memory, all processes together", memory_mb, "MB"),
    ]


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of CSV with SMILES")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--kind", choices=["csv", "parquet", "sdf", "ndjson"], default="csv")
    parser.add_argument("--count", type=int, default=5000, help="different structures")
    given = parser.parse_args()
    smiles = molecules(given.data, given.count)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        (root / "releases").mkdir()
        make_release(root / "releases", smiles, list(islice(cycle(smiles), REFERENCES)))
        rows = measured(root, smiles, given.rows, given.kind)
    show(rows, Console(width=160))
    if given.json:
        save(rows, given.json)


if __name__ == "__main__":
    main()
