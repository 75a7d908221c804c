import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Timer

import pytest

from agent.errors import Refused, TryLater
from agent.releases.card import ModelCard
from agent.releases.folder import MODEL
from agent.serving.rehearsal import Rehearsal, perform

Build = Callable[..., ModelCard]


def _python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def _reason(rehearsal: Rehearsal, folder: Path) -> str:
    with pytest.raises(Refused) as refused:
        rehearsal(folder)
    assert refused.value.code == "does_not_load"
    return refused.value.reason


def test_a_good_release_passes_in_a_real_process(install: Build, releases: Path) -> None:
    install("r1", 1)
    Rehearsal(Event())(releases / "r1")
    assert perform(releases / "r1") == ""


def test_one_that_cannot_be_loaded_is_refused_with_its_reason(
    install: Build, releases: Path
) -> None:
    install("r1", 1)
    (releases / "r1" / MODEL).unlink()
    (releases / "r1" / MODEL).write_bytes(b"no graph")
    assert _reason(Rehearsal(Event()), releases / "r1") == "onnxruntime cannot load model.onnx."
    assert "cannot load" in perform(releases / "r1")


def test_one_that_answers_no_number_is_refused(install: Build, releases: Path) -> None:
    install("r1", 1, level=-1e6)
    assert "no finite number" in perform(releases / "r1")


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import os; os.abort()", "ended by signal 6"),
        ("import os; os._exit(139)", "ended with 139"),
        ("raise SystemExit(1)", "ended with 1"),
        ("print('[]'); raise SystemExit(1)", "ended with 1"),
        ('print(\'{"reason": "So."}\'); raise SystemExit(1)', "So."),
    ],
)
def test_a_crash_is_a_refusal_and_no_more(tmp_path: Path, program: str, why: str) -> None:
    assert why in _reason(Rehearsal(Event(), command=_python(program)), tmp_path)


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    rehearsal = Rehearsal(Event(), 0.2, _python("import time; time.sleep(600)"))
    assert _reason(rehearsal, tmp_path) == "It did not load within 0 s."


def test_it_is_called_off_when_predict_ends(tmp_path: Path) -> None:
    stop = Event()
    Timer(0.2, stop.set).start()
    with pytest.raises(TryLater, match="Predict ends"):
        Rehearsal(stop, command=_python("import time; time.sleep(600)"))(tmp_path)
