"""The outermost edge of the program: what a foreign exception may say."""

import subprocess
import sys
from pathlib import Path

SECRET = "CC(=O)Oc1ccccc1C(=O)O"

PROGRAM = f"""
import sys, threading
from agent import log
from agent.cli import main as edge

def fail(*args, **kwargs):
    raise ValueError("row 7: {SECRET} = 12.5")

if sys.argv[1] == "thread":
    log.setup()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
else:
    edge.onggi = fail
    edge.main()
"""


def _run(tmp_path: Path, where: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    return subprocess.run(
        [sys.executable, str(script), where], capture_output=True, text=True, check=False
    )


def test_an_unforeseen_error_shows_its_place_and_not_its_words(tmp_path: Path) -> None:
    done = _run(tmp_path, "main")
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr
    assert "12.5" not in done.stdout + done.stderr
    assert "onggi: an unforeseen error" in done.stderr


def test_neither_does_a_thread_that_dies(tmp_path: Path) -> None:
    done = _run(tmp_path, "thread")
    assert SECRET not in done.stdout + done.stderr
    assert '"event": "a thread died"' in done.stderr
    assert "program.py:" in done.stderr
