import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from agent.cli.predict import own_url
from agent.errors import Stop, TryLater
from agent.serve_settings import ServeSection

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home

KNOWN = {
    "value": -0.31,
    "unit": "",
    "interval": [-1.2, 0.6],
    "inside": False,
    "outside_by": ["similarity"],
    "similarity": 0.31,
}
ANSWER = {
    "release": "r7",
    "version": 7,
    "results": [
        {"smiles": "CCO", "predictions": {"logd": KNOWN}},
        {"smiles": "no", "error": {"step": "parse", "cause": "This is no SMILES."}},
    ],
}

MEASURED = {"value": 3.5, "unit": "", "qualifier": ">", "n": 2}
KNOWN_ANSWER = {
    **ANSWER,
    "results": [
        {"smiles": "CCN", "predictions": {"logd": KNOWN, "ppb": {**KNOWN, "measured": MEASURED}}}
    ],
}


class _Endpoint(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        answer = KNOWN_ANSWER if b"CCN" in asked else ANSWER
        token = self.headers["Authorization"]
        body = json.dumps({**answer, "bearer": token} if token else answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Says nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Endpoint) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_predictions_and_faults_stand_in_the_order_asked(home: "Home", url: str) -> None:
    said = home.said("predict", "CCO", "no", "--url", url)
    assert "-0.31" in said
    assert "no: This is no SMILES. (parse)" in said
    assert "release r7" in said
    assert home.json("predict", "CCO", "no", "--url", url) == ANSWER


def test_an_interval_and_the_domain_are_shown(home: "Home", url: str) -> None:
    said = home.said("predict", "CCO", "no", "--url", url)
    assert "-1.2 – 0.6" in said
    assert "outside by similarity" in said


def test_what_was_measured_stands_beside_what_was_predicted(home: "Home", url: str) -> None:
    said = home.said("predict", "CCN", "--url", url)
    assert "measured" in said
    assert ">3.5" in said
    assert "measured" not in home.said("predict", "CCO", "no", "--url", url)


def test_an_endpoint_that_is_away(home: "Home", url: str) -> None:
    error = home.error("predict", "CCO", "--url", "http://127.0.0.1:1")
    assert isinstance(error, TryLater)


def test_a_structure_is_needed(home: "Home") -> None:
    assert home.run("predict").exit_code == 2


def test_a_token_comes_from_a_file(home: "Home", url: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("ong_x\n")
    arguments = ("predict", "CCO", "no", "--url", url)
    assert home.json(*arguments, "--token-file", str(path))["bearer"] == "Bearer ong_x"
    assert "bearer" not in home.json(*arguments)


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"\xff\xfe", b"a\x00b", None])
def test_a_file_without_a_token_stops(
    home: "Home", url: str, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    error = home.error("predict", "CCO", "--url", url, "--token-file", str(path))
    assert isinstance(error, Stop)
    assert "holds no token" in str(error)


@pytest.mark.parametrize(
    ("section", "url"),
    [
        ({}, "http://127.0.0.1:8600"),
        ({"host": "::"}, "http://[::1]:8600"),
        ({"host": "fd00::5", "port": 80}, "http://[fd00::5]:80"),
        ({"names": ("onggi.example.com",)}, "http://127.0.0.1:8600"),
        ({"names": ("o.example",), "certificate": Path("/c")}, "https://o.example:8600"),
        ({"names": ("[fd00::1]",), "certificate": Path("/c")}, "https://[fd00::1]:8600"),
    ],
)
def test_the_hosts_own_endpoint_is_where_the_configuration_says(
    section: dict[str, object], url: str
) -> None:
    assert own_url(ServeSection().model_copy(update=section)) == url
