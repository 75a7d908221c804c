from pathlib import Path

import pytest

from agent.demo.parties import ask
from agent.errors import OnggiError

_MODULE = """
import os, pathlib, signal, sys
tries = pathlib.Path(sys.argv[1])
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
if len(tries.read_text()) <= int(sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)
print("done")
"""


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mortal.py").write_text(_MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "tries"


def test_a_command_that_is_killed_is_run_again(mortal: Path) -> None:
    assert ask("mortal", str(mortal), "2") == "done\n"
    assert mortal.read_text() == "xxx"


def test_a_command_that_is_always_killed_ends_with_a_sentence(mortal: Path) -> None:
    with pytest.raises(OnggiError, match="was killed 5 times"):
        ask("mortal", str(mortal), "99")


def test_a_command_that_fails_is_not_run_again(mortal: Path) -> None:
    with pytest.raises(OnggiError, match="invalid literal"):
        ask("mortal", str(mortal), "no number")
    assert mortal.read_text() == "x"
