import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from agent.errors import Refused
from agent.records import InvalidStructure
from agent.releases.attempts import Attempts
from agent.releases.card import ModelCard
from agent.releases.folder import activate
from agent.serving import app, bodies
from agent.serving.app import create_app
from agent.serving.bodies import ExplainResponse, Prediction
from agent.serving.frames import Frame
from agent.serving.predictor import Predictor
from agent.serving.problems import Problem
from agent.serving.swap import MAX_STRIKES, Models
from agent.serving.worker import Desk

Build = Callable[..., ModelCard]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.content)
        return document


class Here:
    """Does in this process what `Pool` lets workers do."""

    def __init__(self, releases: Path) -> None:
        self._desk = Desk(releases, lambda structures, _start: structures)

    async def split(self, body: bytes) -> list[bytes]:
        return bodies.chunks(bodies.parse(body))

    async def predict(
        self,
        release: str,
        piece: bytes,
        *,
        quick: bool,  # noqa: ARG002
        reference: str = "",
    ) -> Frame:
        head = {"do": "predict", "release": release, "reference": reference}
        answer = self._desk.reply(head, piece)
        if "raised" in answer[0]:
            raise Problem(500, "internal", "It raised.")
        return answer

    async def explain(self, release: str, piece: bytes, endpoint: str | None) -> bytes:
        head, body = self._desk.reply(
            {"do": "explain", "release": release, "endpoint": endpoint}, piece
        )
        if "refused" in head:
            raise Refused(*head["refused"])
        if "problem" in head:
            raise Problem(*head["problem"])
        return body


class Endpoint:
    def __init__(self, models: Models, port: int) -> None:
        self.models = models
        self.port = port

    def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    def predict(self, body: object) -> Answer:
        return self.ask("POST", "/v1/predict", json.dumps(body).encode())


@pytest.fixture
def empty(releases: Path, tmp_path: Path) -> Iterator[Endpoint]:
    """An endpoint over a real socket, without a release."""
    models = Models(releases, Attempts(tmp_path), partial(Predictor.load, threads=1))
    models.step(0.0)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(models, Here(releases)), log_config=None, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    with listener:
        yield Endpoint(models, listener.getsockname()[1])
        server.should_exit = True
        thread.join()


@pytest.fixture
def endpoint(empty: Endpoint, install: Build, releases: Path) -> Endpoint:
    install("r1", 1)
    activate(releases, "r1")
    empty.models.step(0.0)
    return empty


def _is_problem(answer: Answer, status: int, code: str) -> bool:
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json) == {"type", "title", "status", "code", "detail"}
    assert answer.json["detail"].endswith(".")
    return bool(answer.status == answer.json["status"] == status and answer.json["code"] == code)


def test_one_or_many_structures_are_answered_in_order(endpoint: Endpoint) -> None:
    one = endpoint.predict({"smiles": "CCO"}).json
    assert (one["release"], one["version"]) == ("r1", 1)
    many = endpoint.predict({"smiles": ["c1ccccc1", "CCO", "nonsense", "CCO"]}).json["results"]
    assert [result["smiles"] for result in many] == ["c1ccccc1", "CCO", "nonsense", "CCO"]
    assert many[1] == many[3] == one["results"][0]
    assert many[2]["error"]["step"] == "parse"
    assert "predictions" not in many[2]
    known = Prediction.model_fields.keys() - {"measured"}  # no reference is laid out here
    assert many[0]["predictions"]["solubility"].keys() == known


def test_a_large_body_is_read_elsewhere_to_the_same_answer(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"smiles": ["CCO", "no", "CCN"] * 50}
    expected = endpoint.predict(body)
    monkeypatch.setattr(app, "_READ_HERE_BYTES", 10)
    assert endpoint.predict(body).content == expected.content
    assert endpoint.predict({"smiles": []}).json["results"] == []


def test_an_explanation_has_its_drawing_where_an_endpoint_is_asked(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explain(**body: object) -> Answer:
        return endpoint.ask("POST", "/v1/explain", json.dumps(body).encode())

    said = explain(smiles="OCC", id="A-1", endpoint="logd")
    assert (said.status, said.json["id"], said.json["smiles"]) == (200, "A-1", "CCO")
    assert said.json.keys() == ExplainResponse.model_fields.keys()
    assert [len(values) for values in said.json["contributions"].values()] == [3]
    assert said.json["svg"].startswith("<svg")
    assert len(explain(smiles="OCC").json["contributions"]) == 4
    assert _is_problem(explain(smiles="no"), 422, "bad_structure")
    assert _is_problem(explain(smiles="CCO", endpoint="none"), 422, "unknown_endpoint")
    assert _is_problem(explain(), 422, "malformed")
    monkeypatch.setattr(bodies, "MAX_EXPLAIN_BYTES", 100)
    long = explain(smiles="C" * 200)
    assert _is_problem(long, 413, "body_too_large")


def test_ids_come_back_beside_their_answers(endpoint: Endpoint) -> None:
    body = {"structures": [{"id": "A-1", "smiles": "CCO"}, {"id": "A-2", "molblock": "bad"}]}
    results = endpoint.predict(body).json["results"]
    assert [result["id"] for result in results] == ["A-1", "A-2"]
    assert "error" in results[1]


def test_equal_questions_get_equal_bytes(endpoint: Endpoint) -> None:
    body = {"smiles": ["CCO", "CCN"] * 200}  # over several slices
    assert endpoint.predict(body).content == endpoint.predict(body).content


def test_before_the_first_release_it_says_when_to_come_back(empty: Endpoint) -> None:
    for answer in (
        empty.predict({"smiles": "CCO"}),
        empty.ask("GET", "/v1/model"),
        empty.ask("GET", "/readyz"),
    ):
        assert _is_problem(answer, 503, "no_release")
        assert int(answer.headers["retry-after"]) > 0
    assert empty.ask("GET", "/healthz").json == {"status": "ok"}


def test_bad_requests_become_problem_documents(endpoint: Endpoint) -> None:
    assert _is_problem(endpoint.ask("POST", "/v1/predict", b"{"), 422, "malformed")
    many = {"smiles": ["C"] * (bodies.MAX_STRUCTURES + 1)}
    assert _is_problem(endpoint.predict(many), 413, "too_many_structures")
    assert _is_problem(endpoint.ask("GET", "/nowhere"), 404, "no_such_route")
    assert _is_problem(endpoint.ask("GET", "/v1/predict"), 405, "no_such_route")
    for page in ("/docs", "/redoc"):  # both would load scripts from elsewhere
        assert endpoint.ask("GET", page).status == 404


def test_a_body_over_the_limit_is_refused_before_it_is_read_whole(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAX_BODY_BYTES", 1000)
    assert _is_problem(endpoint.ask("POST", "/v1/predict", b" " * 1001), 413, "body_too_large")


def test_a_fault_of_our_own_tells_nothing(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CCO leaked")

    for name in ("render", "render_results"):  # here, and where a worker would be
        with monkeypatch.context() as patch:
            patch.setattr(bodies, name, fail)
            answer = endpoint.predict({"smiles": "CCO"})
            assert _is_problem(answer, 500, "internal")
            assert b"leaked" not in answer.content


@pytest.fixture
def on_trial(endpoint: Endpoint, install: Build, releases: Path) -> Endpoint:
    """r2 came after r1."""
    install("r2", 2)
    activate(releases, "r2")
    endpoint.models.step(1.0)
    assert endpoint.predict({"smiles": "CCO"}).json["release"] == "r2"
    return endpoint


def _fail(monkeypatch: pytest.MonkeyPatch, *releases: str, raising: bool) -> None:
    """Lets these releases raise, or answer with no finite number."""
    good = Predictor.write

    def write(self: Predictor, structures: Any, *watch: Any) -> Any:  # noqa: ANN401 - passed
        if self.card.release_id not in releases:
            return good(self, structures, *watch)
        if raising:
            raise RuntimeError("CCO leaked")
        return [InvalidStructure("predict", "logd came out as no finite number.")]

    monkeypatch.setattr(Predictor, "write", write)


@pytest.mark.parametrize("raising", [True, False])
def test_what_a_release_fails_on_trial_the_one_before_answers(
    on_trial: Endpoint, monkeypatch: pytest.MonkeyPatch, raising: bool
) -> None:
    _fail(monkeypatch, "r2", raising=raising)
    for _ in range(MAX_STRIKES):
        answer = on_trial.predict({"smiles": "CCO"})
        assert (answer.status, answer.json["release"]) == (200, "r1")
        assert "predictions" in answer.json["results"][0]
    on_trial.models.step(2.0)
    assert on_trial.models.serving().release == "r1"


def test_what_it_fails_to_explain_the_one_before_explains(
    on_trial: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Predictor.explain

    def explain(self: Predictor, *asked: Any) -> Any:  # noqa: ANN401 - passed
        failed = InvalidStructure("predict", "A prediction came out as no finite number.")
        return failed if self.card.release_id == "r2" else good(self, *asked)

    monkeypatch.setattr(Predictor, "explain", explain)
    question = json.dumps({"smiles": "CCO"}).encode()
    for _ in range(MAX_STRIKES):
        answer = on_trial.ask("POST", "/v1/explain", question)
        assert (answer.status, answer.json["release"]) == (200, "r1")
    on_trial.models.step(2.0)
    assert on_trial.models.serving().release == "r1"


@pytest.mark.parametrize("code", ["busy", "worker_lost"])
def test_a_busy_predict_is_no_fault_of_a_release_and_dying_workers_are(
    on_trial: Endpoint, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    good = Here.predict

    async def predict(
        self: Here, release: str, piece: bytes, *, quick: bool, reference: str = ""
    ) -> Frame:
        if release == "r2":
            raise Problem(503, code, "So.")
        return await good(self, release, piece, quick=quick)

    monkeypatch.setattr(Here, "predict", predict)
    blamed = code == "worker_lost"
    for _ in range(MAX_STRIKES):
        assert on_trial.predict({"smiles": "CCO"}).status == (200 if blamed else 503)
    on_trial.models.step(2.0)
    assert on_trial.models.serving().release == ("r1" if blamed else "r2")


def test_what_both_fail_is_no_fault_of_the_new_one(
    on_trial: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail(monkeypatch, "r1", "r2", raising=False)
    for _ in range(MAX_STRIKES):
        assert "error" in on_trial.predict({"smiles": "CCO"}).json["results"][0]
    on_trial.models.step(2.0)
    assert on_trial.models.serving().release == "r2"


def test_a_bad_structure_is_no_failure(on_trial: Endpoint) -> None:
    for _ in range(MAX_STRIKES):
        question = json.dumps({"smiles": "nonsense"}).encode()
        assert _is_problem(on_trial.ask("POST", "/v1/explain", question), 422, "bad_structure")
        assert on_trial.predict({"smiles": "nonsense"}).json["release"] == "r2"
    on_trial.models.step(2.0)
    assert on_trial.models.serving().release == "r2"


def test_the_model_and_its_state_can_be_read(endpoint: Endpoint) -> None:
    predictor = endpoint.models.current()
    assert predictor is not None
    assert ModelCard.parse(endpoint.ask("GET", "/v1/model").content) == predictor.card
    ready = endpoint.ask("GET", "/readyz").json
    assert ready == {"status": "ready", "release": "r1", "version": 1, "problem": ""}


def test_figures_name_no_structure_and_no_path_of_a_caller(endpoint: Endpoint) -> None:
    endpoint.predict({"smiles": ["CCSCCCO", "nonsense"]})
    endpoint.ask("GET", "/CCSCCCO")
    text = endpoint.ask("GET", "/metrics").content.decode()
    assert 'onggi_predict_molecules_total{outcome="refused"} 1.0' in text
    assert 'onggi_predict_requests_total{route="other",status="404"} 1.0' in text
    assert 'release_info{release="r1",version="1"} 1.0' in text
    assert "CCSCCCO" not in text


def test_every_route_that_is_counted_is_documented(endpoint: Endpoint) -> None:
    paths = endpoint.ask("GET", "/openapi.json").json["paths"]
    assert paths.keys() == app._ROUTES - {"/openapi.json"}


def test_openapi_describes_both_directions_and_resolves(endpoint: Endpoint) -> None:
    document = endpoint.ask("GET", "/openapi.json").json
    route = document["paths"]["/v1/predict"]["post"]
    schema = route["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"smiles", "structures"}
    assert {"200", "413", "422", "503"} <= set(route["responses"])
    for place in _references(document):
        target: Any = document
        for part in place.removeprefix("#/").split("/"):
            target = target[part]


def _references(part: object) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [place for value in part.values() for place in _references(value)]
    if isinstance(part, list):
        return [place for value in part for place in _references(value)]
    return []
