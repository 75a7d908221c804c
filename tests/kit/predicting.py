"""Predict as a process of its own, a release for it, and clients that ask without a pause."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

import numpy as np

from agent.features.spec import default_spec
from agent.learning.ensemble import Ensemble
from agent.learning.export import export_onnx
from agent.learning.tasks import TaskSpec
from agent.releases import folder
from agent.releases.card import ModelCard, TaskCard, write_card
from agent.wire.documents import NetworkSpec
from agent.wire.network import initial_weights

MOMENT = "2026-01-02T03:04:05Z"
TASK = "logd"

# What `onggi serve` does; with a third argument, loading that release kills the worker, or, where a
# structure follows after a colon, predicting that structure by it; `:memory` after that lets the
# structure want more memory than there is.
PROGRAM = """
import signal, sys, threading
from pathlib import Path
from agent import log
from agent.config import ServeSection
from agent.errors import OnggiError
from agent.serving import process, server

if sys.argv[3]:
    process.COMMAND = (sys.executable, "-c", sys.argv[5], sys.argv[3])

log.setup()
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
try:
    section = ServeSection(threads=1).model_copy(update={"port": int(sys.argv[4])})
    server.serve(Path(sys.argv[1]), Path(sys.argv[2]), section, stop)
except OnggiError as error:
    print(error)
    sys.exit(error.exit_code)
heavy = {"torch", "polars", "pandas", "sqlalchemy", "requests", "nacl", "agent.keys", "agent.boxes"}
heavy |= {"rdkit", "onnxruntime", "numpy"}
print(sorted(heavy & set(sys.modules)))
"""
WORKER = """
import os, sys
from agent.cli.main import main
from agent.serving import predictor
from agent.serving.predictor import Predictor

name, smiles, how = (sys.argv[1].split(":") + ["", ""])[:3]
load, write = Predictor.load, Predictor.write
def deadly_load(folder, threads):
    return os._exit(139) if folder.name == name and not smiles else load(folder, threads)
def deadly_write(self, structures, *watch):
    for text, _ in structures:
        if self.card.release_id == name and text == smiles:
            os._exit(139)
    return write(self, structures, *watch)
def hungry(text, fmt):
    return bytearray(1 << 40) if text == smiles else read(text, fmt)
if how == "memory":
    read, predictor.light_mol = predictor.light_mol, hungry
else:
    Predictor.load, Predictor.write = deadly_load, deadly_write
sys.argv = ["onggi", "predict-worker", *sys.argv[2:]]
main()
"""


def build(root: Path, release_id: str, version: int, level: float) -> None:
    """Installs a release of the demo's size that answers `level` for every structure."""
    spec, network = default_spec(), NetworkSpec(hidden=(256, 128), dropout=0.1, seed=version)
    task = TaskCard(
        task=TASK,
        name="logD",
        kind="regression",
        unit="",
        transform="identity",
        n_train=1,
        n_test=1,
        metric="MAE",
        error_local=None,
        error_release=None,
        private=False,
    )
    card = ModelCard(
        release_id=release_id,
        version=version,
        created=MOMENT,
        plan_id="p1",
        tasks=(task,),
        features=spec,
        network=network,
        gated=MOMENT,
        reference_sha256="0" * 64,
    )
    weights = initial_weights(network, spec, [TASK])
    weights[f"head.{TASK}.weight"][:] = 0
    weights[f"head.{TASK}.bias"] = np.full(1, level, np.float32)
    staged = root / f"staged-{release_id}"
    staged.mkdir()
    export_onnx(
        Ensemble.of_one(weights, network, 1),
        spec,
        [TaskSpec(TASK, "regression")],
        staged / folder.MODEL,
    )
    write_card(staged, card)
    (staged / folder.WEIGHTS).write_bytes(b"-")
    (staged / folder.MANIFEST).write_bytes(b"-")
    folder.install(staged, root / "releases", release_id)


@dataclass
class Predict:
    """The process under test and where it answers."""

    root: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @classmethod
    def prepare(cls, root: Path) -> Self:
        """Makes the folders that it needs."""
        made = cls(root)
        made.releases.mkdir()
        made.state.mkdir()
        return made

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def state(self) -> Path:
        return self.root / "state"

    def start(self, deadly: str = "", port: int = 0) -> subprocess.Popen[str]:
        (self.state / "status.json").unlink(missing_ok=True)
        arguments = [str(self.releases), str(self.state), deadly, str(port), WORKER]
        process = subprocess.Popen(
            ["env", f"HOME={self.root}", sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def status(self) -> dict[str, Any]:
        try:
            status: dict[str, Any] = json.loads((self.state / "status.json").read_bytes())
        except FileNotFoundError:
            return {}
        return status

    def wait(self, release: str) -> None:
        until(lambda: self.status().get("release") == release)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection("127.0.0.1", self.status()["port"])
        try:
            connection.request(method, path, json.dumps(body).encode() if body else None)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def close(self) -> None:
        """Ends whatever still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


def children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # that thread has just ended
            found += map(int, (task / "children").read_text().split())
    return found


def until(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.05)


@dataclass
class Load:
    """Clients that ask without a pause, each over one connection, and what they were told."""

    port: int
    stop: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def ask(self, structures: int) -> None:
        connection = HTTPConnection("127.0.0.1", self.port)
        question = json.dumps({"smiles": ["CCO"] * structures}).encode()
        try:
            while not self.stop.is_set():
                connection.request("POST", "/v1/predict", question)
                response = connection.getresponse()
                self.take(response.status, response.read())
        except OSError as error:
            self.faults.append(repr(error))
        finally:
            connection.close()

    def take(self, status: int, content: bytes) -> None:
        if status == 200:
            self.bodies.append(content)
        else:
            self.faults.append(f"{status} {content!r}")

    def wait_for(self, more: int) -> None:
        enough = len(self.bodies) + more
        until(lambda: len(self.bodies) >= enough or bool(self.faults))


@contextmanager
def prepared(root: Path, level: float, version: int = 1) -> Iterator[Predict]:
    """Lays out one release, `r1`, that says `level` of every structure; ends what is started."""
    made = Predict.prepare(root)
    build(made.root, "r1", version, level)
    folder.activate(made.releases, "r1")
    try:
        yield made
    finally:
        made.close()


@contextmanager
def running(root: Path, level: float, version: int = 1) -> Iterator[Predict]:
    """Runs predict with that release."""
    with prepared(root, level, version) as made:
        made.start()
        made.wait("r1")
        yield made


@contextmanager
def served(root: Path, level: float) -> Iterator[str]:
    """Runs predict with that release; yields its address."""
    with running(root, level) as made:
        yield f"http://127.0.0.1:{made.status()['port']}"
