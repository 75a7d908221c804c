"""URLs that are refused, and problems that become sentences."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import clock
from agent.errors import Stop
from agent.exchange.answers import problem
from agent.exchange.session import Link, Peer, check_url
from agent.exchange.transport_log import TransportLog
from agent.keys import new_signing


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example",
        "https://a.example:8443/",
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://localhost",
    ],
)
def test_these_urls_will_do(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "ftp://a.example",
        "http://a.example",
        "http://127.0.0.1.example",
        "https://",
        "https://a.example/path",
        "https://a.example?x=1",
        "https://me:secret@a.example",
        "https://a.example:99999",
        "https://[::1",
    ],
)
def test_these_urls_stop_the_courier(url: str) -> None:
    with pytest.raises(Stop):
        check_url(url)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_certificate_that_is_none_stops_the_courier(
    tmp_path: Path, content: bytes | None
) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    for place in (ca_file, None):
        with TransportLog(tmp_path / "log") as log, pytest.raises(Stop, match="enrol again"):
            Link(
                Peer("https://a.example", place),
                "silo-a",
                new_signing("courier"),
                transport_log=log,
                clock=clock.now,
            )


def test_a_problem_keeps_its_code_and_its_sentence() -> None:
    refused = problem(403, b'{"code":"token_used","detail":"The token was used.\\u001b[31m"}')
    assert (refused.code, refused.reason) == ("token_used", "The token was used. [31m")
    assert problem(401, b'{"code":"x","reason":"Why."}').reason == "Why."


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b'{"code":7,"detail":[]}', b'{"code":"A b"}']
)
def test_a_strange_problem_is_named_by_its_status(body: bytes) -> None:
    assert problem(400, body).code == "http_400"


@given(st.binary(max_size=100))
def test_any_problem_is_a_printable_line(body: bytes) -> None:
    assert str(problem(400, body)).isprintable()


class _Takes(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""


def test_a_kill_after_the_bytes_left_leaves_them_their_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(*_: object) -> None:
        raise KeyboardInterrupt  # stands for SIGKILL

    with ThreadingHTTPServer(("127.0.0.1", 0), _Takes) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        peer = Peer(f"http://127.0.0.1:{server.server_port}", None)
        log = TransportLog(tmp_path / "log")
        link = Link(peer, "silo-a", new_signing("courier"), transport_log=log, clock=clock.now)
        with monkeypatch.context() as patch:
            patch.setattr(TransportLog, "record", deadly)
            with pytest.raises(KeyboardInterrupt):
                link.ask("PUT", "/v1/envelopes/e/blob", b"piece", query={"offset": 0})
        link.close()
        server.shutdown()
    log.close()
    assert (tmp_path / "log").read_bytes() == b""
    TransportLog(tmp_path / "log").close()
    (line,) = [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert (line["target"], line["status"], line["up"]) == ("/v1/envelopes/e/blob?offset=0", 0, 5)
