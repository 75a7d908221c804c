from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from agent.demo.parties import ask, free_ports, insist
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


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"results": []}')

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""


def test_an_endpoint_that_has_just_died_is_started_and_asked_again() -> None:
    (port,) = free_ports(1)
    with ExitStack() as stack:

        def revive() -> None:
            if not started:
                server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", port), _Answers))
                Thread(target=server.serve_forever, daemon=True).start()
                stack.callback(server.shutdown)
            started.append(port)

        started: list[int] = []
        assert insist(f"http://127.0.0.1:{port}/", {}, revive) == {"results": []}
        assert started


def test_an_endpoint_that_nobody_revives_is_given_up() -> None:
    (port,) = free_ports(1)
    assert insist(f"http://127.0.0.1:{port}/", {}, lambda: None, limit_s=0.5) is None
