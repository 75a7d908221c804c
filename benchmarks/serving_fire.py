"""Predict under fire: releases swapped, workers killed, connections that do nothing, a huge upload.

The tests ask the same of a few thousand requests; here it is as many as issue and operator expect.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path

from rich.console import Console

from agent.features.reference import REFERENCE_SMILES
from agent.releases import folder
from benchmarks.report import Row, save, show
from benchmarks.serving import Running, running, share, singles
from benchmarks.serving_release import make_release

REQUESTS, CONNECTIONS, KILLS = 100_000, 10_000, 50
UPLOAD = 1 << 30
_RELEASES = ("r1", "r2")
_REFERENCES = 2_000
_SWAP_S = 5.0
_CLIENTS = ((1, 0.4), (1, 0.4), (3, 0.199), (200, 0.001))  # structures of a call, part of the calls
_CLIENT = "from benchmarks.serving_fire import ask_often; ask_often()"


def ask_often() -> None:
    """Asks the same again and again; prints how often each answer came, by its hash.

    Arguments: port, structures of a call, calls.
    """
    port, structures, calls = map(int, sys.argv[1:])
    body = json.dumps({"smiles": (list(REFERENCE_SMILES) * structures)[:structures]}).encode()
    connection = HTTPConnection("127.0.0.1", port)
    told: Counter[str] = Counter()
    for _ in range(calls):
        connection.request("POST", "/v1/predict", body)
        response = connection.getresponse()
        content = response.read()
        good = response.status == 200
        later = response.status == 503 and "Retry-After" in response.headers
        told[hashlib.sha256(content).hexdigest() if good else "later" if later else "failed"] += 1
    print(json.dumps(told))


@contextmanager
def clients(port: int, requests: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Lets clients ask, each in a process of its own."""
    command = [sys.executable, "-c", _CLIENT, str(port)]
    started = [
        subprocess.Popen(
            [*command, str(structures), str(int(part * requests))], stdout=subprocess.PIPE
        )
        for structures, part in _CLIENTS
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()


def _told(process: subprocess.Popen[bytes]) -> Counter[str]:
    output, _ = process.communicate()
    if process.returncode:
        return Counter({"failed": 1})
    return Counter(json.loads(output))


def swapped(now: Running, releases: Path, requests: int) -> list[Row]:
    """Swaps the release again and again while clients ask.

    An answer that two releases had a part in would be a third answer to the same question.
    """
    swaps = 0
    with clients(now.port, requests) as asking:
        while any(process.poll() is None for process in asking[:2]):
            time.sleep(_SWAP_S)
            swaps += 1
            folder.activate(releases, _RELEASES[swaps % 2])
        told = [_told(process) for process in asking]
    faults = sum(count[word] for count in told for word in ("failed", "later"))
    mixed = sum(max(len([word for word in count if len(word) == 64]) - 2, 0) for count in told)
    answered = sum(sum(count.values()) for count in told)
    name = f"{answered:,} requests while the release was swapped {swaps} times"
    return [_none(f"{name}: failed", faults), _none("the same: mixed answers", mixed)]


def killed(now: Running, requests: int, kills: int) -> list[Row]:
    """Kills a worker every so often while clients ask."""
    with clients(now.port, requests) as asking:
        for _ in range(kills):
            time.sleep(0.3)
            workers = now.process.children()
            if workers:
                os.kill(random.choice(workers).pid, signal.SIGKILL)
        told = sum((_told(process) for process in asking), Counter())
    name = f"{sum(told.values()):,} requests while {kills} workers were killed"
    return [
        _none(f"{name}: failed or never answered", told["failed"]),
        Row("the same: told to try later", told["later"], "requests"),
    ]


def crowded(now: Running, connections: int, smiles: list[str]) -> list[Row]:
    """Opens connections that send nothing or half a head, and asks meanwhile."""
    alone = share(singles(now.port, smiles), 0.99)
    before = now.process.memory_info().rss
    held = []
    for n in range(connections):
        held.append(socket.create_connection(("127.0.0.1", now.port)))
        if n % 2:
            held[-1].sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n")
    meanwhile = share(singles(now.port, smiles), 0.99)
    grown = (now.process.memory_info().rss - before) / 2**20
    for connection in held:
        connection.close()
    name = f"one molecule, p99, beside {connections:,} connections that do nothing"
    return [
        Row(name, meanwhile, "ms", "without them", alone),
        Row("the same: memory of the process that answers", grown, "MiB more"),
    ]


def uploaded(now: Running, size: int) -> list[Row]:
    """Sends a body without an end."""
    before = most = now.process.memory_info().rss
    connection = socket.create_connection(("127.0.0.1", now.port))
    connection.sendall(
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece, sent = b"100000\r\n" + b" " * (1 << 20) + b"\r\n", 0
    try:
        while sent < size:
            connection.sendall(piece)
            sent += len(piece)
            most = max(most, now.process.memory_info().rss)
    except OSError:
        pass  # it was closed, as it should be
    status = connection.recv(12)
    connection.close()
    name = f"an upload of {size >> 20:,} MiB: taken until it was refused"
    met = status == b"HTTP/1.1 413" and sent < size
    return [
        Row(name, sent / 2**20, "MiB", must="413 before its end", met=met),
        Row("the same: memory of the process that answers", (most - before) / 2**20, "MiB more"),
    ]


def _none(name: str, count: int) -> Row:
    return Row(name, count, "", must="0", met=count == 0)


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--kills", type=int, default=KILLS)
    given = parser.parse_args()
    smiles = list(REFERENCE_SMILES) * (500 // len(REFERENCE_SMILES))
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        (root / "releases").mkdir()
        for version, name in enumerate(_RELEASES, start=1):
            known = list(islice(cycle(smiles), _REFERENCES))
            make_release(root / "releases", smiles, known, name, version)
        with running(root) as now:
            rows = [*uploaded(now, UPLOAD), *crowded(now, given.connections, smiles)]
            rows += killed(now, given.requests // 20, given.kills)
            rows += swapped(now, root / "releases", given.requests)
    console = Console(width=160)
    show(rows, console)
    console.print(f"load before the end {os.getloadavg()[0]:.1f}")
    if given.json:
        save(rows, given.json)


if __name__ == "__main__":
    main()
