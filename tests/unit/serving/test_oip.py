import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agent.releases.attempts import Attempts
from agent.releases.card import ModelCard
from agent.releases.folder import activate
from agent.serving import frames, oip
from agent.serving.app import create_app
from agent.serving.frames import Frame, Head
from agent.serving.predictor import Predictor
from agent.serving.swap import Models
from agent.serving.tensors import Question, Wanted
from agent.serving.worker import Desk

Build = Callable[..., ModelCard]
ASKED = {"inputs": [{"name": "SMILES", "shape": [2], "datatype": "BYTES", "data": ["CCO", "CCN"]}]}


class Here:
    """Does in this process what `Pool` lets workers do, for these routes and no other."""

    def __init__(self, releases: Path) -> None:
        self._desk = Desk(releases, lambda structures, _start: structures)

    async def read_tensors(
        self, content: bytes, head_bytes: int | None
    ) -> tuple[Question, list[bytes]]:
        head, body = self._reply({"do": "read_tensors", "head_bytes": head_bytes}, content)
        return Question.of(head["question"]), frames.cut(body, head["lengths"])

    async def tensors(
        self,
        release: str,
        piece: bytes,
        wanted: list[Wanted],
        *,
        quick: bool,  # noqa: ARG002
    ) -> Frame:
        return self._reply({"do": "tensors", "release": release, "wanted": wanted}, piece)

    async def split(self, body: bytes) -> list[bytes]:
        raise NotImplementedError

    async def predict(self, release: str, piece: bytes, *, quick: bool) -> Frame:
        raise NotImplementedError

    async def explain(self, release: str, piece: bytes, endpoint: str | None) -> bytes:
        raise NotImplementedError

    def _reply(self, head: Head, body: bytes) -> Frame:
        return self._desk.reply(json.loads(json.dumps(head)), body)


@pytest.fixture
def models(releases: Path, tmp_path: Path) -> Models:
    return Models(releases, Attempts(tmp_path), partial(Predictor.load, threads=1))


@pytest.fixture
def client(models: Models, releases: Path) -> TestClient:
    compute = Here(releases)
    return TestClient(create_app(models, compute, 2, [oip.Room(models, compute, 2)]))


def _values(client: TestClient, path: str) -> dict[str, Any]:
    response = client.post(path, json=ASKED)
    assert response.status_code == 200
    said: dict[str, Any] = response.json()
    return said


def test_before_the_first_release_it_is_alive_and_not_ready(client: TestClient) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2").json()["name"] == "onggi"
    for path in ("/v2/health/ready", "/v2/models/onggi", "/v2/models/onggi/versions/1/ready"):
        problem = client.get(path)
        assert (problem.status_code, problem.json()["code"]) == (503, "no_release")
        assert problem.json()["error"] == problem.json()["detail"]
    assert client.post("/v2/models/onggi/infer", json=ASKED).status_code == 503


def test_a_version_is_answered_by_its_release_and_no_other(
    client: TestClient, models: Models, install: Build, releases: Path
) -> None:
    for version, name in enumerate(("r1", "r2", "r3"), start=1):
        install(name, version, float(version))
        activate(releases, name)
        models.step(float(version))
    assert client.get("/v2/models/onggi").json()["versions"] == ["3"]
    for path, version in (("", 3), ("/versions/3", 3), ("/versions/2", 2)):
        said = _values(client, f"/v2/models/onggi{path}/infer")
        assert said["model_version"] == str(version)
        assert said["outputs"][0]["data"] == [version, version]
    assert client.get("/v2/models/onggi/versions/2").json()["versions"] == ["2"]
    assert client.get("/v2/models/onggi/versions/2/ready").json()["ready"]
    gone = client.post("/v2/models/onggi/versions/1/infer", json=ASKED)
    assert (gone.status_code, gone.json()["code"]) == (404, "no_such_version")


def test_a_large_body_is_read_elsewhere_to_the_same_answer(
    client: TestClient,
    models: Models,
    install: Build,
    releases: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install("r1", 1)
    activate(releases, "r1")
    models.step(0.0)
    expected = _values(client, "/v2/models/onggi/infer")
    monkeypatch.setattr(oip, "_READ_HERE_BYTES", 10)
    assert _values(client, "/v2/models/onggi/infer") == expected
    assert 'outcome="predicted"} 4.0' in client.get("/metrics").text
