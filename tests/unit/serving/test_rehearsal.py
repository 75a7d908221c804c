import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest

from agent.demo.bad_releases import kill_loading
from agent.errors import Refused, TryLater
from agent.releases.folder import MODEL
from agent.serving import process
from agent.serving.rehearsal import Rehearsal
from tests.unit.serving.conftest import build
from tests.unit.serving.test_pool import Running

HANGS = "import time; time.sleep(600)"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The releases of all tests, each of which lets another process try one."""
    releases = tmp_path_factory.mktemp("rehearsal") / "releases"
    releases.mkdir()
    build(releases, "r1", 1)
    build(releases, "no-number", 2, level=-1e6)
    build(releases, "no-graph", 3)
    (releases / "no-graph" / MODEL).unlink()
    (releases / "no-graph" / MODEL).write_bytes(b"no graph")
    return releases


@pytest.fixture(scope="module")
def running(home: Path) -> Iterator[Running]:
    with Running(home) as made:
        made.pool.load("r1")
        yield made


def _instead(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Lets the next workers be this program."""
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", program))


def _reason(rehearsal: Rehearsal, folder: Path) -> str:
    with pytest.raises(Refused) as refused:
        rehearsal(folder)
    assert refused.value.code == "does_not_load"
    return refused.value.reason


@pytest.mark.slow
def test_a_good_release_passes_and_one_without_graph_or_number_does_not(
    running: Running, home: Path
) -> None:
    rehearsal = Rehearsal(running.pool)
    rehearsal(home / "r1")
    assert "no finite number" in _reason(rehearsal, home / "no-number")
    reason = _reason(rehearsal, home / "no-graph")
    assert reason == "model.onnx is no graph; build it again."
    assert running.predict("CCO")[0]["good"] == 1


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import os; os.abort()", "ended by signal 6"),
        ("import os; os._exit(139)", "ended with 139"),
    ],
)
def test_a_crash_is_a_refusal_and_takes_no_worker_along(
    running: Running, home: Path, monkeypatch: pytest.MonkeyPatch, program: str, why: str
) -> None:
    _instead(monkeypatch, program)
    assert why in _reason(Rehearsal(running.pool), home / "r1")
    assert running.predict("CCO")[0]["good"] == 1


def test_one_that_hangs_is_ended_and_whoever_looks_finds_it(
    running: Running, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _instead(monkeypatch, HANGS)
    assert _reason(Rehearsal(running.pool, 0.2), home / "r1") == "It did not load within 0 s."
    kills: list[int] = []

    def kill() -> None:
        while not sum(kills):  # it may not have begun yet
            kills.append(kill_loading(home / "r1"))
            time.sleep(0.05)

    timer = Timer(0.0, kill)
    timer.start()
    reason = _reason(Rehearsal(running.pool), home / "r1")
    timer.join()
    assert reason == "The process that tried it was ended by signal 9."
    assert sum(kills) == 1


def test_it_is_called_off_when_predict_ends(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _instead(monkeypatch, HANGS)  # its other workers, too: none of them is asked
    with Running(home) as ending:
        Timer(0.2, ending.stop.set).start()
        with pytest.raises(TryLater, match="Predict ends"):
            Rehearsal(ending.pool)(home / "r1")
