"""Predict as a process of its own: real files, real sockets, real signals."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.demo.bad_releases import kill_loading
from agent.errors import EXIT_STOP, EXIT_TRY_LATER
from agent.features.spec import default_spec
from agent.learning.ensemble import Ensemble
from agent.learning.export import export_onnx
from agent.learning.tasks import TaskSpec
from agent.releases import folder
from agent.releases.attempts import MAX_ATTEMPTS, Attempts
from agent.releases.card import ModelCard, TaskCard, write_card
from agent.serving import client
from agent.serving.swap import MAX_STRIKES
from agent.wire.documents import NetworkSpec
from agent.wire.network import initial_weights

MOMENT = "2026-01-02T03:04:05Z"
TASK = "logd"

# What `onggi serve` does; with a third argument, loading that release kills the worker, or, where a
# structure follows after a colon, predicting that structure by it.
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
from agent.serving.predictor import Predictor

name, _, smiles = sys.argv[1].partition(":")
load, predict = Predictor.load, Predictor.predict
def deadly_load(folder, threads):
    return os._exit(139) if folder.name == name and not smiles else load(folder, threads)
def deadly_predict(self, structures, *watch):
    for text, _ in structures:
        if self.card.release_id == name and text == smiles:
            os._exit(139)
    return predict(self, structures, *watch)
Predictor.load, Predictor.predict = deadly_load, deadly_predict
sys.argv = ["onggi", "predict-worker", *sys.argv[2:]]
main()
"""


def _build(root: Path, release_id: str, version: int, level: float) -> None:
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
        _until(lambda: self.status().get("release") == release)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection("127.0.0.1", self.status()["port"])
        try:
            connection.request(method, path, json.dumps(body).encode() if body else None)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


def _pss_kb(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _ports(pid: int) -> set[int]:
    """Returns the local port of each TCP or UDP socket that the process holds."""
    held = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    tables = [Path(f"/proc/{pid}/net/{name}") for name in ("tcp", "tcp6", "udp", "udp6")]
    rows = [
        line.split()
        for table in tables
        if table.exists()
        for line in table.read_text().splitlines()[1:]
    ]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in held}


def _until(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.05)


@pytest.fixture
def predict(tmp_path: Path) -> Iterator[Predict]:
    running = Predict(tmp_path)
    running.releases.mkdir()
    running.state.mkdir()
    yield running
    for process in running.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


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
        _until(lambda: len(self.bodies) >= enough or bool(self.faults))


@pytest.mark.slow
def test_swapping_under_load_fails_and_mixes_nothing(predict: Predict) -> None:
    levels = {"r1": 1.0, "r2": 2.0}
    for version, (name, level) in enumerate(levels.items(), start=1):
        _build(predict.root, name, version, level)
    folder.activate(predict.releases, "r1")
    predict.start()
    predict.wait("r1")
    load = Load(predict.status()["port"])
    # 200 structures are computed in several slices, with every chance of a swap between two.
    clients = [threading.Thread(target=load.ask, args=(n,)) for n in (1, 1, 2, 200)]
    for thread in clients:
        thread.start()
    for name in ("r2", "r1") * 4:
        load.wait_for(250)
        folder.activate(predict.releases, name)
        predict.wait(name)
    load.stop.set()
    for thread in clients:
        thread.join()
    assert load.faults == []
    assert len(load.bodies) > 2000
    answers = [json.loads(body) for body in load.bodies]
    assert {answer["release"] for answer in answers} == set(levels)
    for answer in answers:
        values = {result["predictions"][TASK]["value"] for result in answer["results"]}
        assert values == {levels[answer["release"]]}


def test_told_to_stop_it_ends_at_once_without_torch_and_without_phoning(predict: Predict) -> None:
    _build(predict.root, "r1", 1, 1.0)
    folder.activate(predict.releases, "r1")
    process = predict.start()
    predict.wait("r1")
    url = f"http://127.0.0.1:{predict.status()['port']}"
    results = client.predict(url, ["CCO", "nonsense"])["results"]
    assert isinstance(results, list)
    assert len(results) == 2
    for pid in (process.pid, *_children(process.pid)):
        assert _pss_kb(pid) < 250 << 10
    assert _ports(process.pid) == {predict.status()["port"]}
    process.send_signal(signal.SIGTERM)
    output, log = process.communicate()
    assert (process.returncode, output.strip()) == (0, "[]")
    assert "CCO" not in log
    assert {path.name for path in predict.root.iterdir()} == {"releases", "state"}  # its HOME


def test_it_starts_before_the_first_release_and_takes_it_when_it_comes(predict: Predict) -> None:
    predict.start()
    _until(lambda: "port" in predict.status())
    status, problem = predict.ask("POST", "/v1/predict", {"smiles": "CCO"})
    assert (status, problem["code"]) == (503, "no_release")
    assert predict.status()["ready"] is False
    _build(predict.root, "r1", 1, 1.0)
    folder.activate(predict.releases, "r1")
    predict.wait("r1")
    assert predict.ask("GET", "/readyz")[0] == 200
    assert predict.ask("GET", "/v1/model")[1]["release_id"] == "r1"


@pytest.mark.slow
def test_a_release_that_kills_the_process_is_given_up_for_the_last_good_one(
    predict: Predict,
) -> None:
    _build(predict.root, "r1", 1, 1.0)
    _build(predict.root, "r2", 2, 2.0)
    folder.activate(predict.releases, "r1")
    process = predict.start(deadly="r2")
    predict.wait("r1")
    folder.activate(predict.releases, "r2")
    _until(lambda: Attempts(predict.state).exhausted("r2"))
    _until(lambda: "failed to load 3 times" in predict.status()["problem"])
    assert process.poll() is None
    status = predict.status()
    assert (status["ready"], status["wanted"]) == (True, "r2")
    assert status["problem"].endswith("The process that tried it ended with 139.")
    _, answer = predict.ask("POST", "/v1/predict", {"smiles": "CCO"})
    assert answer["release"] == "r1"


@pytest.mark.slow
def test_what_kills_the_workers_of_a_release_on_trial_the_one_before_answers(
    predict: Predict,
) -> None:
    for version, name in enumerate(("r1", "r2"), start=1):
        _build(predict.root, name, version, float(version))
    folder.activate(predict.releases, "r1")
    process = predict.start(deadly="r2:CCN")
    predict.wait("r1")
    folder.activate(predict.releases, "r2")
    predict.wait("r2")
    load = Load(predict.status()["port"])
    chemist = threading.Thread(target=load.ask, args=(1,))
    chemist.start()
    for _ in range(MAX_STRIKES):
        status, answer = predict.ask("POST", "/v1/predict", {"smiles": ["CCO", "CCN"]})
        assert (status, answer["release"]) == (200, "r1")
        assert all("predictions" in result for result in answer["results"])
    predict.wait("r1")
    load.wait_for(10)
    load.stop.set()
    chemist.join()
    assert load.faults == []
    assert process.poll() is None
    assert predict.status()["problem"] == (
        "r2 was given up and r1 answers instead. It failed 3 requests that r1 answers."
    )
    _, answer = predict.ask("POST", "/v1/predict", {"smiles": "CCN"})
    assert answer["results"][0]["predictions"][TASK]["value"] == 1.0


@pytest.mark.slow
def test_a_release_whose_load_is_killed_costs_no_chemist_an_answer(predict: Predict) -> None:
    for version, name in enumerate(("r1", "r2"), start=1):
        _build(predict.root, name, version, float(version))
    folder.activate(predict.releases, "r1")
    process = predict.start()
    predict.wait("r1")
    load = Load(predict.status()["port"])
    chemist = threading.Thread(target=load.ask, args=(1,))
    chemist.start()
    folder.activate(predict.releases, "r2")
    kills = 0
    while not Attempts(predict.state).exhausted("r2"):
        kills += kill_loading(predict.releases / "r2")
        time.sleep(0.02)
    _until(lambda: "3 times" in str(predict.status().get("problem")))
    load.wait_for(10)
    load.stop.set()
    chemist.join()
    assert kills >= MAX_ATTEMPTS
    assert load.faults == []
    assert {json.loads(body)["release"] for body in load.bodies} == {"r1"}
    assert process.poll() is None
    assert "ended by signal 9" in predict.status()["problem"]


def test_told_to_stop_while_a_release_is_tried_it_ends_and_counts_nothing(
    predict: Predict,
) -> None:
    _build(predict.root, "r1", 1, 1.0)
    folder.activate(predict.releases, "r1")
    process = predict.start()
    _until(lambda: Attempts(predict.state).account("r1").trying)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 0
    account = Attempts(predict.state).account("r1")
    assert (account.begun, account.trying) == (0, False)


@pytest.mark.slow
def test_a_state_folder_that_vanishes_stops_no_answer(predict: Predict) -> None:
    for version, name in enumerate(("r1", "r2"), start=1):
        _build(predict.root, name, version, 1.0)
    folder.activate(predict.releases, "r1")
    process = predict.start()
    predict.wait("r1")
    url = f"http://127.0.0.1:{predict.status()['port']}"
    aside = predict.state.rename(predict.root / "aside")
    folder.activate(predict.releases, "r2")
    for _ in range(20):  # past several looks, none of which may load what it cannot count
        time.sleep(0.1)
        assert client.predict(url, ["CCO"])["release"] == "r1"
    aside.rename(predict.state)
    predict.wait("r2")
    process.send_signal(signal.SIGTERM)
    assert "state_not_written" in process.communicate()[1]


def test_an_address_that_is_taken_ends_it_with_a_sentence_until_later(predict: Predict) -> None:
    predict.start()
    _until(lambda: "port" in predict.status())
    second = predict.start(port=predict.status()["port"])
    output, _ = second.communicate()
    assert second.returncode == EXIT_TRY_LATER
    assert "choose another address" in output


def test_a_state_folder_that_cannot_be_written_stops_it_with_a_sentence(predict: Predict) -> None:
    predict.state.rmdir()
    process = predict.start()
    output, _ = process.communicate()
    assert process.returncode == EXIT_STOP
    assert "check that it exists" in output
