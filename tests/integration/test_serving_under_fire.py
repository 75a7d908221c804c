"""Predict and callers who mean no good, or are just unlucky; `benchmarks.serving_fire` has more."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.features.reference import REFERENCE_SMILES
from agent.serving.bodies import MAX_STRUCTURES
from benchmarks.serving_release import RELEASE, make_release
from tests.kit.predicting import Load, Predict, children, prepared, until

KNOWN = [*REFERENCE_SMILES, "nonsense", ""]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predict]:
    """Predict with a model of the usual size; no test harms it."""
    made = Predict.prepare(tmp_path_factory.mktemp("predict"))
    smiles = list(islice(cycle(REFERENCE_SMILES), 500))
    make_release(made.releases, smiles[:250], smiles)
    made.start()
    made.wait(RELEASE)
    yield made
    made.close()


@pytest.fixture
def predict(tmp_path: Path) -> Iterator[Predict]:
    """Predict that a test starts and may harm."""
    with prepared(tmp_path, level=1.0) as made:
        yield made


def _ask(
    port: int, path: str, body: bytes, method: str = "POST", **headers: str
) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            assert response.headers["Content-Type"] == "application/problem+json"
            assert json.loads(content)["status"] == response.status
        return response.status, content
    finally:
        connection.close()


DEEP = 100_000
BODIES = [
    b"",
    b"\x00",
    b"{",
    b"null",
    b"-0",
    b"NaN",
    b'{"smiles": NaN}',
    b'{"smiles": [-Infinity]}',
    b'{"smiles": -0.0}',
    b'{"smiles": "CCO", "smiles": "CCN"}',
    b'{"smiles": "CCO", "smiles": {"smiles": []}}',
    b'{"smiles": "\\ud800"}',
    b'{"smiles": "\\u0000"}',
    b'{"smiles": ["C\\u0000C", "C\x00C"]}',
    '{"smiles": ["\u202eOCC", "\U0001f9ea", "C\u0301", "\ufeffCCO", "ＣＣＯ"]}'.encode(),
    b'{"smiles": "\xff\xfe"}',
    b"\xef\xbb\xbf" + b'{"smiles": "CCO"}',
    '{"smiles": "CCO"}'.encode("utf-16"),
    b'{"structures": [{"id": "\\udfff", "smiles": "CCO"}]}',
    '{"structures": [{"id": "\U0001f9ea\u202e\u0000", "smiles": "CCO"}]}'.encode(),
    b'{"structures": [{"molblock": "\\n\\n\\n  1  0  0  0  0  0            999 V2000\\n"}]}',
    b'{"smiles": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    b"[" * DEEP,
    b'{"a":' * DEEP,
    b'{"smiles": 1' + b"0" * 5000 + b"}",
    b'{"smiles": "' + b"C" * 100_000 + b'"}',
    b'{"smiles": "' + b"(" * 60_000 + b'"}',
    b'{"smiles": "CCO"}' + b" " * 100_000 + b"x",
]
TENSOR = b'"name": "SMILES", "datatype": "BYTES"'
TENSORS = [
    b'{"inputs": [{%s, "shape": [1], "data": ["\\ud800"]}]}' % TENSOR,
    b'{"inputs": [{%s, "shape": [1], "data": [[[["C"]]]]}]}' % TENSOR,
    b'{"inputs": [{%s, "shape": [-1], "data": []}]}' % TENSOR,
    b'{"inputs": [{%s, "shape": [1e400], "data": []}]}' % TENSOR,
    b'{"parameters": {"x": -0.0}, "inputs": [{%s, "shape": [1], "data": ["\\u0000"]}]}' % TENSOR,
    b'{"parameters": {"x": NaN}, "inputs": [{%s, "shape": [1], "data": ["C"]}]}' % TENSOR,
    b'{"parameters": {"x": 1e400}, "inputs": [{%s, "shape": [1], "data": ["C"]}]}' % TENSOR,
    b'{"parameters": {"x": 1%s}, "inputs": [{%s, "shape": [1], "data": ["C"]}]}'
    % (b"0" * 5000, TENSOR),
]


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain", "/v2/models/onggi/infer"])
def test_whatever_a_body_holds_is_answered_or_refused(running: Predict, path: str) -> None:
    port = running.status()["port"]
    codes = set()
    for body in BODIES + TENSORS:
        status, content = _ask(port, path, body)
        assert status < 500, (body[:80], content)
        codes.add(status)
        json.loads(content, parse_constant=pytest.fail)  # no NaN: that is no JSON
    assert 422 in codes
    assert 200 in codes or path == "/v1/explain"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "\t", "a" * 4000]
)
def test_what_a_body_is_called_does_not_matter(running: Predict, kind: str) -> None:
    port = running.status()["port"]
    headers = {"Content-Type": kind, "Accept": "image/png", "Content-Encoding": "gzip"}
    assert _ask(port, "/v1/predict", b'{"smiles": "CCO"}', **headers)[0] == 200


@pytest.mark.parametrize(
    "method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"]
)
def test_other_methods_are_refused_with_those_that_are_offered(
    running: Predict, method: str
) -> None:
    status, content = _ask(running.status()["port"], "/v1/predict", b"", method)
    assert (status, json.loads(content)["code"]) == (405, "no_such_route")


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(smiles=st.lists(st.sampled_from(KNOWN), min_size=1, max_size=90), data=st.data())
def test_the_same_structure_has_the_same_bytes_in_whichever_batch(
    running: Predict, smiles: list[str], data: st.DataObject
) -> None:
    chosen = data.draw(st.sampled_from(smiles))
    many, one = (_results(running, asked) for asked in (smiles, [chosen]))
    assert many[smiles.index(chosen)] == one[0]


def _results(running: Predict, smiles: list[str]) -> list[dict[str, Any]]:
    _, content = _ask(
        running.status()["port"], "/v1/predict", json.dumps({"smiles": smiles}).encode()
    )
    # Floats as they are written.
    results: list[dict[str, Any]] = json.loads(content, parse_float=str)["results"]
    return results


def _memory(running: Predict) -> int:
    return psutil.Process(running.processes[0].pid).memory_info().rss


@pytest.mark.slow
def test_an_upload_of_a_gigabyte_is_refused_at_the_limit(running: Predict) -> None:
    before = _memory(running)
    connection = socket.create_connection(("127.0.0.1", running.status()["port"]))
    connection.sendall(
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece, sent, most = b"100000\r\n" + b" " * (1 << 20) + b"\r\n", 0, 0
    try:
        while sent < 1 << 30:
            connection.sendall(piece)
            sent += len(piece)
            most = max(most, _memory(running))
    except OSError:
        pass  # closed: the answer is there all the same
    assert b"413 " in connection.recv(65_536).split(b"\r\n")[0]
    connection.close()
    assert sent < 1 << 28
    assert most - before < 150 << 20
    # With its length said before, no byte of it is read.
    whole = socket.create_connection(("127.0.0.1", running.status()["port"]))
    whole.sendall(
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n"
    )
    assert whole.recv(65_536).startswith(b"HTTP/1.1 413 ")
    whole.close()


@pytest.mark.slow
def test_a_thousand_connections_keep_nobody_from_being_answered(running: Predict) -> None:
    port = running.status()["port"]
    begun = [b"", b"POST /v1/predict HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "]
    silent = []
    for n in range(1000):
        silent.append(socket.create_connection(("127.0.0.1", port)))
        silent[-1].sendall(begun[n % 3])
        if n % 50 == 0:
            assert _ask(port, "/v1/predict", b'{"smiles": "CCO"}')[0] == 200
    for connection in silent:
        assert b" 408 " in connection.recv(100)  # none is kept
        connection.close()


@pytest.mark.slow
def test_what_a_caller_hung_up_on_is_not_worked_out(running: Predict) -> None:
    port, pid = running.status()["port"], running.processes[0].pid
    before = _molecules(port)
    body = json.dumps({"smiles": (list(REFERENCE_SMILES) * 400)[:MAX_STRUCTURES]}).encode()
    used_s = _used_s(pid)
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    until(lambda: _used_s(pid) > used_s + 0.2)
    connection.close()
    quiet = 0
    while quiet < 5:  # half a second in which no worker works
        used_s = _used_s(pid)
        time.sleep(0.1)
        quiet = quiet + 1 if _used_s(pid) == used_s else 0
    assert _molecules(port) == before  # a call that went on to its end would be counted


def _used_s(pid: int) -> float:
    return sum(sum(psutil.Process(child).cpu_times()[:2]) for child in children(pid))


def _molecules(port: int) -> float:
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    counts = [line.split()[1] for line in lines if line.startswith("onggi_predict_molecules_total")]
    return sum(map(float, counts))


@pytest.mark.slow
def test_workers_that_are_killed_cost_no_answer(predict: Predict) -> None:
    process = predict.start()
    predict.wait("r1")
    load = Load(predict.status()["port"])
    clients = [threading.Thread(target=load.ask, args=(n,)) for n in (1, 1, 3, 200)]
    for thread in clients:
        thread.start()
    for n in range(12):
        load.wait_for(10)
        if load.faults:
            time.sleep(1)  # else the next kills would follow without a pause
        alive = children(process.pid)
        os.kill(alive[n % len(alive)], signal.SIGKILL)
    load.wait_for(30)
    load.stop.set()
    for thread in clients:
        thread.join()
    assert [fault for fault in load.faults if not fault.startswith("503 ")] == []
    assert len(load.faults) <= 1  # a request has to meet five deaths for it
    assert process.poll() is None


@pytest.mark.slow
def test_a_structure_that_wants_all_memory_is_answered_in_its_place(predict: Predict) -> None:
    process = predict.start(deadly="r1:CCN:memory")
    predict.wait("r1")
    for smiles in (["CCN"], ["CCO", "CCN", "CCC"]):
        status, answer = predict.ask("POST", "/v1/predict", {"smiles": smiles})
        assert status == 200
        told = {one["smiles"]: one.get("error", {}).get("step") for one in answer["results"]}
        assert told == {text: "crash" if text == "CCN" else None for text in smiles}
    assert process.poll() is None
