import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agent.errors import OnggiError, Refused, Stop, TryLater
from agent.serving.client import predict


class _Canned(BaseHTTPRequestHandler):
    """Answers with what the asked path says: `/STATUS/KIND/v1/predict`."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        _, status, kind, *_ = self.path.split("/")
        content = {
            "ok": json.dumps({"release": "r1", "results": []}).encode(),
            "problem": json.dumps({"detail": "Wait a little."}).encode(),
            "html": b"<html>",
            "list": b"[]",
            "bearer": json.dumps({"got": self.headers["Authorization"]}).encode(),
        }[kind]
        self.send_response(int(status))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Says nothing."""


@pytest.fixture
def base_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Canned) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_answer_comes_back_as_it_is(base_url: str) -> None:
    assert predict(f"{base_url}/200/ok/", ["CCO"]) == {"release": "r1", "results": []}


@pytest.mark.parametrize(
    ("path", "error", "sentence"),
    [
        ("/503/problem", TryLater, "Wait a little."),
        ("/429/problem", TryLater, "Wait a little."),
        ("/401/problem", Stop, "Wait a little."),
        ("/403/problem", Stop, "Wait a little."),
        ("/413/problem", Refused, "Wait a little."),
        ("/404/list", Refused, "is no predict endpoint"),
        ("/200/html", Refused, "is no predict endpoint"),
        ("/500/ok", Refused, "The endpoint answered 500."),
    ],
)
def test_what_is_no_answer_becomes_a_sentence(
    base_url: str, path: str, error: type[OnggiError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        predict(base_url + path, ["CCO"])


def test_a_token_is_shown_and_nothing_without_one(base_url: str) -> None:
    assert predict(f"{base_url}/200/bearer", ["CCO"], token="ong_x") == {"got": "Bearer ong_x"}
    assert predict(f"{base_url}/200/bearer", ["CCO"]) == {"got": None}


def test_certificates_that_are_none_stop(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_bytes(b"")
    for path in (empty, tmp_path / "none.pem"):
        with pytest.raises(Stop, match="has no certificates"):
            predict("https://127.0.0.1:9", ["CCO"], ca_file=path)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://x", "http://", "http://x:port"])
def test_what_is_no_address_stops(url: str) -> None:
    with pytest.raises(Stop, match="give one like"):
        predict(url, ["CCO"])


def test_nobody_there_is_try_later() -> None:
    with pytest.raises(TryLater, match="start it with"):
        predict("http://127.0.0.1:9", ["CCO"])
