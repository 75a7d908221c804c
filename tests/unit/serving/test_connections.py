import json
import resource
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from agent.serving.connections import Limits, most_connections
from tests.kit.patient import Echo, answers, caller, guarded, rest

SHORT = Limits(most=5, head_s=0.3, head_bytes=4096)
ASKED = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def port(echo: Echo) -> Iterator[int]:
    with guarded(echo, SHORT) as port:
        yield port


def _problem(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    document = json.loads(body)
    assert f"HTTP/1.1 {document['status']} {document['title']}".encode() == head.split(b"\r\n")[0]
    return document["status"], document["code"]


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX-"])
def test_a_head_that_does_not_come_is_not_waited_for(port: int, sent: bytes) -> None:
    assert _problem(rest(caller(port, sent))) == (408, "too_slow")


def test_a_head_that_drips_is_not_waited_for(port: int) -> None:
    connection = caller(port, b"GET / HTTP/1.1\r\n")
    connection.settimeout(0.05)
    got = b""
    while not got:
        try:
            connection.sendall(b"X-A: b\r\n")
            got = connection.recv(65_536)
        except TimeoutError:
            continue
    assert _problem(got + rest(connection)) == (408, "too_slow")


def test_a_second_request_has_a_time_of_its_own(port: int) -> None:
    connection = caller(port, ASKED)
    answers(connection)
    time.sleep(0.6)  # idle for longer than a head may take: uvicorn's own limit is another
    connection.sendall(ASKED)
    answers(connection)
    connection.sendall(b"GET /")
    assert _problem(rest(connection)) == (408, "too_slow")


def test_a_head_that_grows_is_not_kept(port: int) -> None:
    connection = caller(port, b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 8192)
    assert _problem(rest(connection)) == (431, "head_too_large")


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9\r\n\r\n", b"\r\nA\r\n"]
)
def test_what_is_not_http_is_answered_all_the_same(port: int, sent: bytes) -> None:
    assert _problem(rest(caller(port, sent))) == (400, "malformed")


def test_whoever_has_been_idle_longest_makes_room(port: int) -> None:
    idle = [caller(port) for _ in range(5)]
    time.sleep(0.05)  # they are known to the server
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"0"
    assert rest(idle[0]) == b""  # sent away at once, without a word
    assert _problem(rest(idle[4])) == (408, "too_slow")
    connection.close()
    for one in idle[1:4]:
        one.close()


def test_where_everybody_is_being_answered_the_next_is_told_so(port: int, echo: Echo) -> None:
    busy = [caller(port, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(5)]
    echo.asked.wait()
    time.sleep(0.1)
    answer = rest(caller(port, ASKED))
    assert _problem(answer) == (503, "busy")
    assert b"\r\nRetry-After: 5\r\n" in answer
    for one in busy:
        one.close()


def test_two_requests_at_once_are_answered_in_order(port: int) -> None:
    connection = caller(port, ASKED + ASKED)
    assert answers(connection, 2).count(b"HTTP/1.1 200 OK") == 2
    connection.close()


@pytest.mark.parametrize("size", [0, 10, 300_000])  # uvicorn stops reading for a while at 64 KiB
def test_a_caller_who_hangs_up_is_not_worked_for(port: int, echo: Echo, size: int) -> None:
    head = f"POST /long HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
    connection = caller(port, head.encode() + b"a" * size)
    echo.asked.wait()
    connection.close()
    assert echo.cancelled.wait(10.0)


def test_one_who_resets_is_not_worked_for_either(port: int, echo: Echo) -> None:
    connection = caller(port, b"GET /long HTTP/1.1\r\nHost: a\r\n\r\n")
    echo.asked.wait()
    linger_none = b"\1\0\0\0\0\0\0\0"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_none)
    connection.close()
    assert echo.cancelled.wait(10.0)


def test_as_many_fit_as_files_may_be_open() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = most_connections()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == before[1]
    assert before[0] <= soft
    assert 0 < most < soft
