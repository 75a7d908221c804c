import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.errors import Refused, TryLater
from agent.releases.card import ModelCard
from agent.releases.folder import MODEL
from agent.serving import bodies, frames, pool, process
from agent.serving.bodies import Asked
from agent.serving.frames import Frame
from agent.serving.pool import Pool
from agent.serving.problems import Problem
from agent.serving.tensors import Wanted
from tests.unit.serving.conftest import build

Build = Callable[..., ModelCard]

# As in test_process: harmless to every limit but the deadline, which is short here.
HOSTILE = "CC" + ".*" * 990
DEADLINE_S = 0.1

# A worker that dies of loading the release `deadly`, and of the structure `CCCCCCCl`.
DEADLY = """
import os, sys
from agent.serving import predictor, worker
from agent.cli.main import main
load, light = predictor.Predictor.load, predictor.light_mol
def deadly_load(folder, threads):
    return os._exit(139) if folder.name == "deadly" else load(folder, threads)
def deadly_light(text, fmt):
    return os._exit(139) if text == "CCCCCCCl" else light(text, fmt)
predictor.Predictor.load, predictor.light_mol = deadly_load, deadly_light
sys.argv = ["onggi", "predict-worker", *sys.argv[1:]]
main()
"""


class Running:
    """A pool in the event loop of a thread, as predict has it."""

    def __init__(self, releases: Path) -> None:
        self.stop = threading.Event()  # what tells predict to end
        self.pool = Pool(releases, workers=1, deadline_s=DEADLINE_S, stop=self.stop)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        async with self.pool.running():
            while not self._stop.is_set():
                await asyncio.sleep(0.01)

    def __enter__(self) -> "Running":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def children(self) -> list[int]:
        """Returns its workers: the processes that its own thread has started."""
        path = Path(f"/proc/{os.getpid()}/task/{self._thread.native_id}/children")
        return [int(pid) for pid in path.read_text().split()]

    def predict(self, *smiles: str, quick: bool = True) -> Frame:
        (piece,) = bodies.chunks([Asked(text, "smiles") for text in smiles])
        return self.pool.wait(self.pool.predict("r1", piece, quick=quick))

    def steps(self, *smiles: str) -> list[str]:
        _, rendered = self.predict(*smiles)
        results = json.loads(b"[" + rendered + b"]")
        return [result["error"]["step"] if "error" in result else "" for result in results]


@pytest.fixture
def fresh(install: Build, releases: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A pool for one test, which leaves it in another state."""
    install("r1", 1)
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", DEADLY))
    with Running(releases) as made:
        made.pool.load("r1")
        yield made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A pool for all others: its three processes take seconds to start."""
    releases = tmp_path_factory.mktemp("pool") / "releases"
    releases.mkdir()
    build(releases, "r1", 1)
    build(releases, "deadly", 2)
    build(releases, "no-graph", 2)
    (releases / "no-graph" / MODEL).unlink()
    with pytest.MonkeyPatch.context() as patch, Running(releases) as made:
        patch.setattr(process, "COMMAND", (sys.executable, "-c", DEADLY))
        made.pool.load("r1")
        yield made


def test_what_takes_too_long_is_an_error_in_its_place(running: Running) -> None:
    assert running.steps("C", HOSTILE, "CC", HOSTILE, "no") == ["", "time", "", "time", "parse"]


def test_what_kills_its_worker_twice_is_an_error_in_its_place(running: Running) -> None:
    assert running.steps("C", "CCCCCCCl", "CC") == ["", "crash", ""]


@pytest.mark.slow
def test_what_cannot_be_read_is_not_explained(running: Running) -> None:
    for text, step in ((HOSTILE, "time"), ("CCCCCCCl", "crash"), ("no", "parse")):
        code = "no_answer" if step == "crash" else "bad_structure"
        (piece,) = bodies.chunks([Asked(text, "smiles")])
        with pytest.raises(Problem) as caught:
            running.pool.wait(running.pool.explain("r1", piece, None))
        assert (caught.value.status, caught.value.code) == (422, code)
        assert step in caught.value.detail


def test_a_call_of_many_hostile_structures_is_refused(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_MOST_GONE", 1)
    with pytest.raises(Problem) as caught:
        running.predict(HOSTILE, HOSTILE, "C")
    assert (caught.value.status, caught.value.code) == (422, "too_slow")


def test_a_killed_worker_costs_nobody_an_answer(running: Running) -> None:
    expected = running.predict("CCO")
    for pid in running.children():
        os.kill(pid, signal.SIGKILL)
    assert running.predict("CCO") == expected
    assert running.predict("CCO", quick=False) == expected


def test_a_deadly_release_is_refused_and_the_old_one_answers(running: Running) -> None:
    with pytest.raises(Refused, match="does_not_load") as caught:
        running.pool.load("deadly")
    assert caught.value.reason == "The process that tried it ended with 139."
    assert running.predict("CCO")[0] == {"good": 1, "bad": 0, "failed": 0}


@pytest.mark.slow
def test_workers_start_although_the_release_that_answers_became_deadly(running: Running) -> None:
    running.pool.keep("deadly")
    for pid in running.children():
        os.kill(pid, signal.SIGKILL)
    assert running.predict("CCO")[0]["good"] == 1  # by the one before it
    running.pool.load("r1")


def test_whoever_waits_for_a_load_is_told_that_predict_ends(fresh: Running, install: Build) -> None:
    install("r2", 2)
    fresh.stop.set()
    with pytest.raises(TryLater, match="Predict ends"):
        fresh.pool.load("r2")


def test_a_release_that_cannot_be_loaded_is_refused(running: Running) -> None:
    with pytest.raises(Refused, match="unloadable_model"):
        running.pool.load("no-graph")


@pytest.mark.slow
def test_a_seat_that_does_not_load_in_time_keeps_no_release_waiting(
    fresh: Running, install: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("r2", 2)
    monkeypatch.setattr(pool, "_SEAT_LIMIT_S", 3.0)
    stopped = min(fresh.children())  # of the first seat; the last is the first to load
    os.kill(stopped, signal.SIGSTOP)
    try:
        fresh.pool.load("r2")
    finally:
        os.kill(stopped, signal.SIGCONT)
    (piece,) = bodies.chunks([Asked("CCO", "smiles")])
    head, _ = fresh.pool.wait(fresh.pool.predict("r2", piece, quick=True))
    assert head == {"good": 1, "bad": 0, "failed": 0}


def test_tensors_are_read_and_answered_by_workers(running: Running) -> None:
    tensor = {"name": "SMILES", "datatype": "BYTES", "shape": [3], "data": ["CCO", "no", HOSTILE]}
    body = json.dumps({"id": "7", "inputs": [tensor]}).encode()
    question, pieces = running.pool.wait(running.pool.read_tensors(body, None))
    assert (question.id, len(pieces)) == ("7", 1)
    wanted = [Wanted("logd", False), Wanted("error", False)]
    head, columns = running.pool.wait(running.pool.tensors("r1", pieces[0], wanted, quick=False))
    assert (head["good"], head["bad"]) == (1, 2)
    values, errors = (
        json.loads(b"[" + part + b"]") for part in frames.cut(columns, head["lengths"])
    )
    assert [value is None for value in values] == [False, True, True]
    assert errors[2].startswith("time: ")


def test_a_large_call_is_cut_by_a_worker(running: Running) -> None:
    texts = ["CCO"] * (bodies.CHUNK + 1)
    cut = running.pool.split(json.dumps({"smiles": texts}).encode())
    assert running.pool.wait(cut) == bodies.chunks([Asked(text, "smiles") for text in texts])
    with pytest.raises(Problem, match="malformed"):
        running.pool.wait(running.pool.split(b"{"))


def test_too_much_to_do_is_said(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_WAIT_S", 0.0)
    (piece,) = bodies.chunks([Asked("CCO", "smiles")])
    loop = running.pool._loop
    assert loop is not None
    asked = asyncio.run_coroutine_threadsafe(running.pool.predict("r1", piece, quick=True), loop)
    with pytest.raises(Problem) as caught:
        asked.result()
    assert (caught.value.status, caught.value.code) == (503, "busy")
    assert int(caught.value.headers["Retry-After"]) > 0


def test_without_an_event_loop_it_does_not_wait_for_ever(
    releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_START_S", 0.0)
    with pytest.raises(TimeoutError):
        Pool(releases, workers=1).load("r1")
