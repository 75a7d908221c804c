import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fastapi import FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from agent.errors import Stop
from agent.serving import audit, problems
from agent.serving.audit import Audited, AuditLog
from agent.serving.callers import STATE, Caller
from tests.kit.asgi import ask

NOW = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
LATER = datetime(2026, 2, 1, 0, 0, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def _app() -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.post("/v1/predict")
    async def predict(request: Request) -> dict[str, int]:
        await request.body()
        audit.tell(request.scope, structures=3, bad=1, release="r1")
        return {}

    @app.post("/v1/fault")
    def fault() -> None:
        raise RuntimeError

    @app.get("/v1/batch/{job}/result")
    def result(job: str) -> dict[str, str]:
        return {"job": job}

    @app.get("/v1/model")
    def model() -> None: ...

    return app


def _ask(
    folder: Path, path: str, method: str = "GET", body: bytes = b"", *, structures: bool = False
) -> list[dict[str, Any]]:
    lines = AuditLog(folder, structures=structures)
    audited = Audited(_app(), lines)

    async def let_in(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {STATE: Caller("kim", frozenset())}
        await audited(scope, receive, send)

    ask(let_in, path, (), method, body)
    lines.close()
    return list(audit.read(folder))


def test_a_call_leaves_a_line_of_who_what_and_how_many_and_no_structure(folder: Path) -> None:
    body = json.dumps({"smiles": ["CCO"]}).encode()
    (line,) = _ask(folder, "/v1/predict", "POST", body)
    assert line.pop("time").endswith("Z")
    assert line == {
        "who": "kim",
        "address": "127.0.0.1",
        "method": "POST",
        "route": "/v1/predict",
        "status": 200,
        "structures": 3,
        "bad": 1,
        "release": "r1",
    }
    assert b"CCO" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_what_was_asked_is_there_where_the_site_says_so(folder: Path) -> None:
    body = json.dumps({"smiles": ["CCO"]}).encode()
    (line,) = _ask(folder, "/v1/predict", "POST", body, structures=True)
    assert json.loads(line["asked"]) == {"smiles": ["CCO"]}


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/v1/batch/7/result", "/v1/batch/{job}/result", 200),
        ("POST", "/v1/fault", "/v1/fault", 500),
        ("DELETE", "/v1/predict", "/v1/predict", 405),
        ("POST", "/v1/CC(=O)Oc1ccccc1", "other", 404),
        ("POST", "/v2/models/onggi/infer", "other", 404),
    ],
)
def test_the_route_is_named_and_never_the_path(
    folder: Path, method: str, path: str, route: str, status: int
) -> None:
    (line,) = _ask(folder, path, method)
    assert (line["method"], line["status"]) == (method, status)
    assert line["route"] == route
    assert "ccccc" not in json.dumps(line)


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/model", "/static/x", "/metrics"])
def test_looking_at_the_page_or_the_model_is_no_line(folder: Path, path: str) -> None:
    assert _ask(folder, path) == []


def test_a_call_without_a_count_of_its_own_is_told_nothing() -> None:
    audit.tell({"type": "http"}, structures=1)
    audit.tell({"type": "http", "state": {}}, structures=1)


def test_each_month_has_its_file_that_only_predicts_group_reads(folder: Path) -> None:
    before = os.umask(0o027)
    try:
        lines = AuditLog(folder)
        lines.write({"who": "a"}, NOW)
        lines.write({"who": "b"}, LATER)
        lines.write({"who": "c"}, LATER)
        lines.close()
    finally:
        os.umask(before)
    assert {path.name for path in folder.iterdir()} == {"2026-01.jsonl", "2026-02.jsonl"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}
    assert folder.stat().st_mode & 0o777 == 0o750
    assert [line["who"] for line in audit.read(folder)] == ["a", "b", "c"]
    assert [line["who"] for line in audit.read(folder, "2026-02-01")] == ["b", "c"]
    assert [line["who"] for line in audit.read(folder, "2026-02-01T00:00:02")] == []


def test_it_goes_on_after_a_restart_and_after_half_a_line(folder: Path) -> None:
    first = AuditLog(folder)
    first.write({"who": "a"}, NOW)
    first.close()
    with (folder / "2026-01.jsonl").open("ab") as handle:
        handle.write(b'{"time": "2026')
    second = AuditLog(folder)
    second.write({"who": "b"}, NOW)
    second.close()
    assert [line["who"] for line in audit.read(folder)] == ["a", "b"]


def test_a_full_disk_stops_nobody_and_leaves_no_half_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines = AuditLog(folder)
    lines.write({"who": "a"}, NOW)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: write(fd, content[:7]))
    for _ in range(3):
        lines.write({"who": "b"}, NOW)
    monkeypatch.undo()
    lines.write({"who": "c"}, NOW)
    lines.close()
    assert (folder / "2026-01.jsonl").read_bytes().count(b"\n") == 2
    assert [line["who"] for line in audit.read(folder)] == ["a", "c"]
    assert caplog.text.count("audit_not_written") == 1


def test_it_is_made_durable_once_and_only_if_something_was_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    lines = AuditLog(folder)
    lines.write({"who": "a"}, NOW)
    monkeypatch.setattr(os, "fsync", synced.append)
    lines.sync()
    lines.sync()
    assert len(synced) == 1
    lines.write({"who": "a"}, NOW)
    lines.close()
    assert len(synced) == 2


def test_a_disk_that_fails_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines = AuditLog(folder)
    lines.write({"who": "a"}, NOW)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "fsync", fail)
    lines.sync()
    assert "audit_not_written" in caplog.text
    monkeypatch.undo()
    lines.close()


@settings(max_examples=30)
@given(st.text(max_size=40))
def test_any_text_stays_on_one_line(text: str) -> None:
    with TemporaryDirectory() as folder:
        lines = AuditLog(Path(folder))
        lines.write({"asked": text}, NOW)
        lines.write({"asked": "\ud800"}, NOW)  # half a letter, which UTF-8 has not
        lines.close()
        assert [line["asked"] for line in audit.read(Path(folder))] == [text, "?"]


def test_it_makes_no_state_folder_of_its_own(folder: Path) -> None:
    with pytest.raises(Stop, match="check that it exists"):
        AuditLog(folder / "audit")
    assert not folder.exists()


def test_a_folder_that_is_not_there_has_no_lines(folder: Path) -> None:
    assert list(audit.read(folder)) == []
