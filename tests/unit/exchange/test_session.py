"""URLs that are refused, and problems that become sentences."""

from pathlib import Path

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
