import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from agent.serving.connections import Limits
from agent.serving.patience import Terms
from tests.kit.patient import Echo, caller, guarded, rest

SHORT = Terms(
    most_bytes=100_000,
    streamed={"/streamed": 400_000},
    held_bytes=150_000,
    idle_s=0.3,
    grace_s=1.0,
    slowest=50_000,
    linger_s=0.5,
)


@pytest.fixture
def port() -> Iterator[int]:
    with guarded(Echo(), Limits(), SHORT) as port:
        yield port


def _head(length: int | None, path: str = "/") -> bytes:
    said = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    return f"POST {path} HTTP/1.1\r\nHost: a\r\n{said}\r\n\r\n".encode()


def _problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    document = json.loads(body)
    return document["status"], document["code"]


def _ask(port: int, path: str, body: bytes) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("POST", path, body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def test_what_fits_is_answered(port: int) -> None:
    for path, size in (("/", 0), ("/", 100_000), ("/streamed", 400_000)):
        assert _ask(port, path, b"a" * size) == (200, str(size).encode())


def test_what_says_that_it_is_too_large_is_refused_unread(port: int) -> None:
    connection = caller(port, _head(1 << 40))
    assert connection.recv(65_536).startswith(b"HTTP/1.1 413")
    connection.close()


def test_what_turns_out_too_large_is_refused_and_the_answer_arrives(port: int) -> None:
    connection = caller(port, _head(None))
    connection.sendall((b"19000\r\n" + b"a" * 0x19000 + b"\r\n") * 20)  # 2 MB, read on for a while
    connection.sendall(b"0\r\n\r\n")
    assert _problem(rest(connection)) == (413, "body_too_large")
    assert _ask(port, "/streamed", b"a" * 400_001)[0] == 413


def test_a_body_that_stops_is_not_waited_for(port: int) -> None:
    assert _problem(rest(caller(port, _head(10) + b"12345"))) == (408, "too_slow")


def test_a_body_that_drips_is_not_waited_for(port: int) -> None:
    connection = caller(port, _head(90_000))
    began_s = time.monotonic()
    connection.settimeout(0.1)
    got = b""
    while not got:
        try:
            connection.sendall(b"a")
            got = connection.recv(65_536)
        except TimeoutError:
            continue
    assert time.monotonic() - began_s > SHORT.grace_s
    connection.settimeout(None)
    assert _problem(got + rest(connection)) == (408, "too_slow")


def test_all_bodies_together_have_a_limit_and_it_is_given_back(port: int) -> None:
    first = caller(port, _head(90_000) + b"a" * 89_000)
    time.sleep(0.1)
    status, content = _ask(port, "/", b"a" * 90_000)
    assert (status, json.loads(content)["code"]) == (503, "busy")
    first.close()
    for _ in range(5):  # what was held is forgotten, whether it was answered or not
        assert _ask(port, "/", b"a" * 90_000)[0] == 200


def test_a_head_alone_is_answered(port: int) -> None:
    connection = HTTPConnection("127.0.0.1", port)
    for method in ("GET", "HEAD", "DELETE"):
        connection.request(method, "/")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"" if method == "HEAD" else b"0")
    connection.close()
