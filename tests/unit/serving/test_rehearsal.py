import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import pytest

from agent.demo.bad_releases import kill_loading
from agent.errors import Refused, TryLater
from agent.releases.card import ModelCard
from agent.releases.folder import MODEL
from agent.serving import process
from agent.serving.rehearsal import Rehearsal
from tests.unit.serving.test_pool import Running

Build = Callable[..., ModelCard]
HANGS = "import time; time.sleep(600)"


@pytest.fixture
def running(install: Build, releases: Path) -> Iterator[Running]:
    install("r1", 1)
    with Running(releases) as made:
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


def test_a_good_release_passes_and_one_without_graph_or_number_does_not(
    running: Running, install: Build, releases: Path
) -> None:
    rehearsal = Rehearsal(running.pool)
    rehearsal(releases / "r1")
    install("r2", 2, level=-1e6)
    assert "no finite number" in _reason(rehearsal, releases / "r2")
    (releases / "r2" / MODEL).unlink()
    (releases / "r2" / MODEL).write_bytes(b"no graph")
    reason = _reason(rehearsal, releases / "r2")
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
    running: Running, releases: Path, monkeypatch: pytest.MonkeyPatch, program: str, why: str
) -> None:
    _instead(monkeypatch, program)
    assert why in _reason(Rehearsal(running.pool), releases / "r1")
    assert running.predict("CCO")[0]["good"] == 1


def test_one_that_hangs_is_ended_and_whoever_looks_finds_it(
    running: Running, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _instead(monkeypatch, HANGS)
    assert _reason(Rehearsal(running.pool, 0.2), releases / "r1") == "It did not load within 0 s."
    kills: list[int] = []
    timer = Timer(0.5, lambda: kills.append(kill_loading(releases / "r1")))
    timer.start()
    reason = _reason(Rehearsal(running.pool), releases / "r1")
    timer.join()
    assert reason == "The process that tried it was ended by signal 9."
    assert kills == [1]


def test_it_is_called_off_when_predict_ends(
    running: Running, releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _instead(monkeypatch, HANGS)
    Timer(0.2, running.stop.set).start()
    with pytest.raises(TryLater, match="Predict ends"):
        Rehearsal(running.pool)(releases / "r1")
