"""What makes a release bad, and when the demo says that a silo did not notice."""

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from agent.demo.asking import Asker, Counts, is_prediction
from agent.demo.bad_releases import check, kill_loading, show
from agent.demo.bad_weights import BAD, nearly, noised, with_nan
from agent.demo.silos import Silo
from agent.errors import OnggiError
from agent.wire.network import check_magnitudes, expected_shapes, initial_weights
from agent.wire.update import check_tensors
from tests.kit.consortium import FEATURES, HEADS, NETWORK

WEIGHTS = initial_weights(NETWORK, FEATURES, HEADS)
SHAPES = expected_shapes(NETWORK, FEATURES, HEADS)
ROW: dict[str, Any] = {
    "silo": "silo-a",
    "release": "release-3",
    "what": "worse on the silo's data",
    "state": "refused",
    "expected": "worse",
    "reason": "worse",
    "why": "So.",
    "asked": 9,
    "answered": 9,
    "learned": "refused: worse",
}


def test_each_class_of_reason_has_its_release() -> None:
    assert {bad.reason for bad in BAD} == {"worse", "does_not_load", "wrong_golden", "bad_weights"}


def test_what_must_pass_the_first_checks_does() -> None:
    for spoilt in (noised(WEIGHTS), nearly(1.0001)(WEIGHTS)):
        check_tensors(spoilt, SHAPES)
        check_magnitudes(spoilt)
        assert any(not np.array_equal(spoilt[name], WEIGHTS[name]) for name in WEIGHTS)


def test_one_nan_is_all_it_takes() -> None:
    spoilt = with_nan(WEIGHTS)
    assert sum(int(np.isnan(tensor).sum()) for tensor in spoilt.values()) == 1
    assert not np.isnan(WEIGHTS["trunk.counts.weight"]).any()


def test_whoever_loads_a_release_is_killed_and_nobody_else(tmp_path: Path) -> None:
    program = (sys.executable, "-c", "import time; time.sleep(600)", "--trial")
    victim = subprocess.Popen([*program, str(tmp_path / "r2")])
    other = subprocess.Popen([*program, str(tmp_path / "r1")])
    try:
        while not kill_loading(tmp_path / "r2"):
            assert victim.poll() is None
        assert victim.wait() == -9
        assert other.poll() is None
    finally:
        for process in (victim, other):
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"state": "rolled back"}, ""),
        ({"state": "active", "reason": None}, "did not refuse release-3 as worse"),
        ({"reason": "other"}, "did not refuse release-3 as worse, but it is refused"),
        ({"answered": 8}, "left 1 of 9 questions open"),
    ],
)
def test_a_silo_that_did_not_notice_fails_the_demo(change: dict[str, Any], said: str) -> None:
    if not said:
        check([{**ROW, **change}])
        return
    with pytest.raises(OnggiError, match=said):
        check([{**ROW, **change}])


def test_the_table_names_silo_release_end_and_counts() -> None:
    file = io.StringIO()
    show(Console(width=200, file=file), [ROW, {**ROW, "silo": "silo-b"}])
    text = file.getvalue()
    assert text.count("release-3: worse on the silo's data") == 1
    assert "silo-b refused 9 9 refused: worse" in " ".join(text.split())


class _Endpoint(BaseHTTPRequestHandler):
    answers: Iterator[bytes]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        content = next(self.answers, b"{}")
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


def test_only_a_prediction_counts_as_an_answer(tmp_path: Path) -> None:
    good, bad = b'{"results": [{"predictions": {"logd": 1}}]}', b'{"results": [{"error": "x"}]}'
    _Endpoint.answers = iter([good, bad, good])
    server = HTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with Asker(Silo("silo-a", "", tmp_path, server.server_port)) as asker:
        while asker.counts().asked < 4:
            threading.Event().wait(0.01)
        counts = asker.counts()
    server.shutdown()
    thread.join()
    server.server_close()
    assert (counts.asked, counts.answered) == (4, 2)
    assert counts.since(Counts(1, 1)) == Counts(3, 1)


@pytest.mark.parametrize("answer", [None, {}, {"results": []}, {"results": [{}]}, {"results": 1}])
def test_what_is_no_prediction(answer: dict[str, Any] | None) -> None:
    assert not is_prediction(answer)
