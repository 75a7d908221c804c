import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.keeper.spares import Spares

_ECHO = (
    "import sys; folder = sys.stdin.read(); open(folder + '/done', 'w').close() if folder else 0"
)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Spares:
    """Workers that only leave a mark in the folder that they are given."""
    real = subprocess.Popen

    def start(command: list[str], stdin: int) -> object:
        assert command[1:4] == ["-m", "agent", "work"]
        assert command[-1] == str(os.getpid())
        return real([sys.executable, "-c", _ECHO], stdin=stdin)

    monkeypatch.setattr(subprocess, "Popen", start)
    return Spares()


def test_one_that_stands_by_takes_one_job(waiting: Spares, tmp_path: Path) -> None:
    assert waiting.take(tmp_path) is None
    waiting.keep(2)
    process = waiting.take(tmp_path)
    assert process is not None
    assert process.wait() == 0
    assert (tmp_path / "done").exists()
    (other,) = waiting._waiting
    waiting.keep(0)
    assert other.returncode is not None


def test_one_that_died_is_passed_over_and_replaced(waiting: Spares, tmp_path: Path) -> None:
    waiting.keep(2)
    first, second = waiting._waiting
    first.kill()
    first.wait()
    assert waiting.take(tmp_path) is second
    assert second.wait() == 0
    waiting.keep(1)
    (third,) = waiting._waiting
    third.kill()
    third.wait()
    assert waiting.take(tmp_path) is None
