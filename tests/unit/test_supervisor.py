import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from agent import supervisor
from agent.errors import EXIT_STOP, Stop


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_S", 0.01)


def _supervise(
    monkeypatch: pytest.MonkeyPatch, programs: dict[str, str], until: Callable[[], bool]
) -> None:
    """Supervises small programs instead of services, until something is so."""
    real = subprocess.Popen

    def start(command: list[str]) -> subprocess.Popen[bytes]:
        return real([sys.executable, "-c", programs[command[3]]])

    stop = Event()

    def watch() -> None:
        while not stop.is_set() and not until():
            time.sleep(0.02)
        stop.set()

    monkeypatch.setattr("agent.supervisor.subprocess.Popen", start)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        supervisor.supervise({name: [name] for name in programs}, stop)
    finally:
        stop.set()
        watcher.join()


def _starts(path: Path) -> int:
    return len(path.read_text()) if path.exists() else 0


def test_a_child_that_dies_is_started_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    program = f"open({str(marks)!r}, 'a').write('x'); raise SystemExit(1)"
    _supervise(monkeypatch, {"keeper": program}, lambda: _starts(marks) >= 2)
    assert _starts(marks) >= 2


def test_a_child_that_says_stop_ends_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    other = (
        "import signal, sys, time\n"
        f"def end(*_): open({str(ended)!r}, 'w').write('x'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"open({str(tmp_path / 'ready')!r}, 'w').close()\n"
        "time.sleep(600)\n"
    )
    stopping = (
        "import pathlib, sys, time\n"
        f"while not pathlib.Path({str(tmp_path / 'ready')!r}).exists(): time.sleep(0.02)\n"
        f"sys.exit({EXIT_STOP})\n"
    )
    with pytest.raises(Stop, match="The courier cannot run"):
        _supervise(monkeypatch, {"keeper": other, "courier": stopping}, lambda: False)
    assert ended.exists()


def test_a_child_that_will_not_go_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "_GOODBYE_S", 0.2)
    ready = tmp_path / "ready"
    deaf = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(ready)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    _supervise(monkeypatch, {"keeper": deaf}, lambda: ready.exists() and bool(ready.read_text()))
    assert not Path(f"/proc/{ready.read_text()}").exists()


def test_the_pause_grows_to_a_limit_and_starts_anew_after_a_steady_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_s = 0.0
    monkeypatch.setattr(supervisor, "monotonic_s", lambda: at_s)
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_S", 0.5)
    child = supervisor._Child("keeper", [sys.executable, "-c", "raise SystemExit(1)"], pause_s=0.5)
    pauses = []
    for life_s in (0.0, 0.0, 0.0, 100.0):
        supervisor._look_after(child)
        _ended(child)
        at_s += life_s
        supervisor._look_after(child)
        pauses.append(child.due_s - at_s)
        supervisor._look_after(child)
        assert child.process is None  # not yet due
        at_s = child.due_s
    assert pauses == [1.0, 2.0, 4.0, 0.5]
    child.pause_s = 29.0
    supervisor._look_after(child)
    _ended(child)
    supervisor._look_after(child)
    assert child.due_s - at_s == 30.0


def _ended(child: supervisor._Child) -> None:
    assert child.process is not None
    child.process.wait()


def test_children_die_with_their_supervisor() -> None:
    child = (
        "import time; from agent.supervisor import die_with_parent; die_with_parent(); "
        "print('ready', flush=True); time.sleep(600)"
    )
    parent = (
        "import os, subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, check=True)
    status = Path(f"/proc/{int(done.stdout)}/stat")
    until_s = time.monotonic() + 10
    while _lives(status) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert not _lives(status)


def _lives(status: Path) -> bool:
    try:  # a process that nobody waited for stays as a zombie
        return status.read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False
