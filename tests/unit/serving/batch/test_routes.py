import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from agent.serving import problems
from agent.serving.batch import folder, jobs, routes
from agent.serving.batch.jobs import Jobs, Limits
from tests.kit.batches import Caller

MOST = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


@pytest.fixture
def caller(root: Path) -> Iterator[Caller]:
    """The routes over a real socket; nobody works on the jobs."""
    app = FastAPI()
    problems.install(app)
    all_jobs = Jobs(root, Limits(input_bytes=MOST), lambda: datetime(2026, 1, 2, tzinfo=UTC))
    all_jobs.open()
    routes.room(all_jobs)(app)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    with listener:
        yield Caller(listener.getsockname()[1], {})
        server.should_exit = True
        thread.join()


def _code(answer: tuple[int, bytes]) -> tuple[int, str]:
    return answer[0], json.loads(answer[1])["code"]


def test_a_file_becomes_a_job_that_says_where_it_is(caller: Caller, root: Path) -> None:
    job = caller.send(b"smiles\nCCO\n", "format=csv&structure=smiles&id=smiles")
    here = f"/v1/batch/{job['job']}"
    assert job["links"] == {"self": here, "result": f"{here}/result", "cancel": here}
    assert (job["state"], job["total"], job["done"], job["release"]) == ("queued", None, 0, None)
    assert caller.look(job["job"]) == job
    assert json.loads(caller.ask("GET", "/v1/batch")[1]) == {"jobs": [job]}
    request = folder.read_request(root / job["job"])
    assert (request.owner, request.fmt, request.structure) == ("local", "csv", "smiles")
    assert (root / job["job"] / folder.INPUT).read_bytes() == b"smiles\nCCO\n"


def test_the_content_type_tells_the_format_where_nothing_else_does(
    caller: Caller, root: Path
) -> None:
    kind = {"Content-Type": "chemical/x-mdl-sdfile; charset=utf-8"}
    for query, wanted in (("", "sdf"), ("?format=smi", "smi")):
        job = json.loads(caller.ask("POST", f"/v1/batch{query}", b"x", **kind)[1])["job"]
        assert folder.read_request(root / job).fmt == wanted


def test_what_is_too_large_is_refused_and_leaves_nothing(caller: Caller, root: Path) -> None:
    assert _code(caller.ask("POST", "/v1/batch", b"x" * (MOST + 1))) == (413, "body_too_large")
    connection = HTTPConnection("127.0.0.1", caller.port)
    connection.request("POST", "/v1/batch", iter([b"x" * 600] * 2), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert list(root.iterdir()) == []


def test_whoever_hangs_up_leaves_nothing(caller: Caller, root: Path) -> None:
    connection = HTTPConnection("127.0.0.1", caller.port)
    connection.putrequest("POST", "/v1/batch")
    connection.putheader("Content-Length", "900")
    connection.endheaders(b"x" * 100)
    while not list(root.iterdir()):
        time.sleep(0.01)
    connection.close()
    while list(root.iterdir()):
        time.sleep(0.01)
    assert json.loads(caller.ask("GET", "/v1/batch")[1]) == {"jobs": []}


def test_a_disk_that_is_nearly_full_takes_no_file(
    caller: Caller, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "FREE_BYTES", 1 << 60)
    assert _code(caller.ask("POST", "/v1/batch", b"x")) == (507, "disk_full")
    assert list(root.iterdir()) == []


def test_a_result_is_there_when_the_job_is_done(caller: Caller) -> None:
    job = caller.send(b"smiles\nCCO\n")
    assert _code(caller.ask("GET", job["links"]["result"])) == (409, "not_done")
    assert _code(caller.ask("GET", "/v1/batch/0/result")) == (404, "no_such_job")


def test_a_job_that_nobody_began_is_cancelled_and_forgotten(caller: Caller) -> None:
    job = caller.send(b"smiles\nCCO\n")
    assert caller.ask("DELETE", job["links"]["cancel"]) == (204, b"")
    assert caller.look(job["job"])["state"] == "cancelled"
    assert caller.ask("DELETE", job["links"]["cancel"]) == (204, b"")
    assert _code(caller.ask("DELETE", job["links"]["cancel"])) == (404, "no_such_job")
