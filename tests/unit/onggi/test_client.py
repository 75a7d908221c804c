"""The Python client against a stand-in that says what predict says."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from onggi.client import Client, OnggiAway, OnggiRefused

KNOWN = {"value": 1.5, "unit": "", "interval": [1.0, 2.0], "inside": True}
LINKS = {"self": "/v1/batch/j", "result": "/v1/batch/j/result", "cancel": "/v1/batch/j"}
JOB = {"job": "j", "state": "running", "total": 2, "done": 1, "bad": 0, "links": LINKS}


class _Endpoint(BaseHTTPRequestHandler):
    asked: list[tuple[str, bytes, str | None]]
    fails: dict[str, Any] | None

    def do_POST(self) -> None:
        body = self._read()
        if self.path.startswith("/v1/batch"):
            self._say(202, JOB)
        elif self.path == "/v1/predict":
            texts = json.loads(body)["smiles"]
            self._say(200, {"release": "r1", "results": [_result(text) for text in texts]})
        else:
            self._say(403, {"code": "not_allowed", "detail": "It lacks the scope data."})

    def do_GET(self) -> None:
        self._read()
        if self.path.startswith("/v1/batch/j/result"):
            self._say(200, b"smiles,logd\n")
        elif self.path == "/v1/batch/j" and self.fails:
            self._say(200, {**JOB, "state": "failed", "problem": self.fails})
        elif self.path == "/v1/batch/j":
            self._say(200, {**JOB, "state": "done", "done": 2})
        else:
            self._say(502, b"<html>")

    def _read(self) -> bytes:
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        self.asked.append((self.path, body, self.headers.get("Authorization")))
        return body

    def _say(self, status: int, said: object) -> None:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Says nothing."""


def _result(text: str) -> dict[str, Any]:
    if text in ("", "no"):
        return {"smiles": text, "error": {"step": "parse", "cause": "This is no SMILES."}}
    if text == "known":
        measured = {"value": 100.0, "unit": "", "qualifier": ">", "n": 2}
        return {"smiles": text, "predictions": {"logd": {**KNOWN, "measured": measured}}}
    return {"smiles": text, "predictions": {"logd": KNOWN, "ppb": {**KNOWN, "interval": None}}}


@pytest.fixture
def endpoint() -> type[_Endpoint]:
    _Endpoint.asked, _Endpoint.fails = [], None
    return _Endpoint


@pytest.fixture
def client(endpoint: type[_Endpoint]) -> Iterator[Client]:
    with ThreadingHTTPServer(("127.0.0.1", 0), endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with Client(f"http://127.0.0.1:{server.server_port}/", "secret") as made:
            yield made
        server.shutdown()
        thread.join()


def test_structures_become_a_frame(client: Client, endpoint: type[_Endpoint]) -> None:
    found = client.predict(["CCO", "no"])
    assert list(found.columns) == [
        *("logd", "logd_lower", "logd_upper", "logd_inside"),
        *("ppb", "ppb_lower", "ppb_upper", "ppb_inside", "error"),
    ]
    assert found["logd"][0] == 1.5
    assert (found["logd_lower"][0], found["logd_upper"][0]) == (1.0, 2.0)
    assert bool(found["logd_inside"][0]) is True
    assert pd.isna(found["ppb_lower"][0])
    assert pd.isna(found["logd"][1])
    assert found["error"][1] == "parse: This is no SMILES."
    assert endpoint.asked[0][2] == "Bearer secret"


def test_what_was_measured_is_shown(client: Client) -> None:
    found = client.predict(["CCO", "known"])
    assert [name for name in found.columns if name.endswith("_measured")] == ["logd_measured"]
    assert found["logd_measured"][1] == ">100"
    assert pd.isna(found["logd_measured"][0])


def test_the_index_of_what_was_given_is_kept(client: Client) -> None:
    table = pd.DataFrame({"id": [7, 8, 9], "SMILES": ["CCO", None, "C"]}, index=["x", "y", "z"])
    for given in (table, table["SMILES"]):
        found = client.predict(given)
        assert list(found.index) == ["x", "y", "z"]
        assert list(found["error"].isna()) == [True, False, True]
    assert list(table.join(client.predict(table, "SMILES"))["logd"].isna()) == [False, True, False]
    with pytest.raises(ValueError, match="name one by `column`"):
        client.predict(pd.DataFrame({"mol": ["C"]}))


def test_many_structures_are_asked_for_in_parts(client: Client, endpoint: type[_Endpoint]) -> None:
    assert len(client.predict(["C"] * 2_500)) == 2_500
    assert [len(json.loads(body)["smiles"]) for _, body, _ in endpoint.asked] == [1000, 1000, 500]


def test_no_structures_are_an_empty_frame(client: Client) -> None:
    assert len(client.predict([])) == 0


def test_a_file_goes_there_and_comes_back(
    client: Client, endpoint: type[_Endpoint], tmp_path: Path
) -> None:
    given, seen = tmp_path / "in.tsv", []
    given.write_bytes(b"mol\nCCO\n")
    found = client.batch(
        given,
        tmp_path / "out.parquet",
        structure="mol",
        endpoints=["logd", "ppb"],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert found.read_bytes() == b"smiles,logd\n"
    assert seen == [(2, 2)]
    first, *_, last = endpoint.asked
    assert first[:2] == ("/v1/batch?format=csv&structure=mol", b"mol\nCCO\n")
    assert last[0] == "/v1/batch/j/result?format=parquet&endpoint=logd&endpoint=ppb"


def test_a_job_that_failed_says_why(client: Client, endpoint: type[_Endpoint]) -> None:
    endpoint.fails = {"code": "missing_column", "detail": "It has no column 'x'."}
    with pytest.raises(OnggiRefused, match="no column 'x'") as refused:
        client.wait(client.send(io.BytesIO(b"x")))
    assert (refused.value.status, refused.value.code) == (0, "missing_column")


def test_what_is_refused_or_no_endpoint_says_so(client: Client) -> None:
    with pytest.raises(OnggiRefused, match="lacks the scope") as refused:
        client.neighbours("CCO", "logd", 3)
    assert (refused.value.status, refused.value.code) == (403, "not_allowed")
    with pytest.raises(OnggiRefused, match="no Onggi endpoint"):
        client.model()


def test_nobody_there() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(OnggiAway):
        client.explain("CCO")
