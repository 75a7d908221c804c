import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient

from agent.errors import Refused
from agent.releases.attempts import Attempts
from agent.releases.card import ModelCard
from agent.releases.folder import activate
from agent.serving import bodies
from agent.serving.app import create_app
from agent.serving.bodies import MeasuredValue, Prediction
from agent.serving.callers import STATE, Caller
from agent.serving.frames import Frame
from agent.serving.percentiles import Percentiles
from agent.serving.predictor import Predictor
from agent.serving.problems import Problem
from agent.serving.questions import Questions
from agent.serving.reference_room import (
    NeighboursResponse,
    PercentilesResponse,
    reference_room,
    shows,
)
from agent.serving.shown import Shown
from agent.serving.swap import Models
from agent.serving.worker import Desk
from tests.kit.references import NAME, lay_out

Build = Callable[..., ModelCard]
PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"
WHO = "x-scopes"  # of a test's caller


class Here:
    """Does in this process what `Pool` lets workers do."""

    def __init__(self, releases: Path) -> None:
        self._desk = Desk(releases, lambda structures, _start: structures)

    def _asked(self, head: dict[str, Any], body: bytes) -> Frame:
        answer = self._desk.reply(head, body)
        if "refused" in answer[0]:
            raise Refused(*answer[0]["refused"])
        if "problem" in answer[0]:
            raise Problem(*answer[0]["problem"])
        assert "raised" not in answer[0]
        return answer

    async def split(self, body: bytes) -> list[bytes]:
        return bodies.chunks(bodies.parse(body))

    async def explain(self, release: str, piece: bytes, endpoint: str | None) -> bytes:
        raise NotImplementedError

    async def predict(
        self,
        release: str,
        piece: bytes,
        *,
        quick: bool,  # noqa: ARG002
        reference: str = "",
    ) -> Frame:
        return self._asked({"do": "predict", "release": release, "reference": reference}, piece)

    async def ask(self, head: Mapping[str, object], piece: bytes) -> bytes:
        return self._asked(dict(head), piece)[1]


class Asking:
    """A client whose scopes a header says, in place of tokens."""

    def __init__(self, app: FastAPI, percentiles: Percentiles, folder: Path) -> None:
        self.client = TestClient(app, raise_server_exceptions=False)
        self.percentiles = percentiles
        self.folder = folder

    def post(self, path: str, body: object, scopes: str = "predict data") -> Any:  # noqa: ANN401
        return self.client.post(path, content=json.dumps(body), headers={WHO: scopes})

    def get(self, path: str, scopes: str = "predict data") -> Any:  # noqa: ANN401
        return self.client.get(path, headers={WHO: scopes})


def _with_callers(app: FastAPI) -> None:
    @app.middleware("http")
    async def who(request: Request, go_on: Callable[[Request], Any]) -> Response:
        scopes = frozenset(request.headers[WHO].split())
        setattr(request.state, STATE, Caller("lab", scopes))  # type: ignore[arg-type]
        answer: Response = await go_on(request)
        return answer


@pytest.fixture
def empty(releases: Path, tmp_path: Path) -> Iterator[Asking]:
    """An endpoint whose site shows nothing yet, and that has no release."""
    models = Models(releases, Attempts(tmp_path), lambda folder: Predictor.load(folder, 1))
    compute, shown = Here(releases), Shown.beside(releases)
    questions = Questions(compute)
    percentiles = Percentiles(models, questions, shown, tmp_path)
    room = reference_room(models, questions, shown, percentiles)
    app = create_app(models, compute, 1, [room], shown.for_caller)
    _with_callers(app)
    asking = Asking(app, percentiles, shown.reference)
    asking.models = models  # type: ignore[attr-defined]
    with asking.client:
        yield asking


@pytest.fixture
def asking(empty: Asking, install: Build, releases: Path) -> Asking:
    install("r1", 1)
    activate(releases, "r1")
    empty.models.step(0.0)  # type: ignore[attr-defined]
    lay_out(empty.folder)
    return empty


def _code(answer: Any) -> tuple[int, str]:  # noqa: ANN401
    return answer.status_code, answer.json()["code"]


def test_what_was_measured_stands_beside_the_prediction(asking: Asking) -> None:
    answer = asking.post("/v1/predict", {"smiles": [PARACETAMOL, "CCO", "no"]}).json()
    known, stranger, bad = answer["results"]
    logd = known["predictions"]["logd"]
    assert logd["measured"] == {"value": 0.46, "unit": "", "qualifier": "=", "n": 3}
    assert known["predictions"]["solubility"]["measured"]["qualifier"] == ">"
    assert "measured" not in known["predictions"]["clint"]
    assert all("measured" not in one for one in stranger["predictions"].values())
    assert "error" in bad
    assert Prediction.model_validate(logd).measured == MeasuredValue(**logd["measured"])


def test_without_the_scope_data_no_byte_tells_that_it_was_measured(asking: Asking) -> None:
    body = {"smiles": [PARACETAMOL, "CCO"]}
    may_not = asking.post("/v1/predict", body, "predict admin").content
    assert b"measured" not in may_not
    asking.folder.joinpath("current").unlink()  # as if there were no reference at all
    assert asking.post("/v1/predict", body).content == may_not


def test_a_large_call_has_measured_values_in_their_places(asking: Asking) -> None:
    texts = ["C" * (1 + n % 9) for n in range(2 * bodies.CHUNK)]
    texts[5] = texts[bodies.CHUNK + 7] = PARACETAMOL
    results = asking.post("/v1/predict", {"smiles": texts}).json()["results"]
    assert [
        number
        for number, result in enumerate(results)
        if "measured" in result["predictions"]["logd"]
    ] == [5, bodies.CHUNK + 7]


def test_neighbours_are_shown_with_their_values(asking: Asking) -> None:
    answer = asking.post("/v1/neighbours", {"smiles": "CC(=O)Nc1ccc(OC)cc1", "most": 2})
    document = answer.json()
    assert (document["release"], document["version"]) == ("r1", 1)
    assert document["smiles"] == "COc1ccc(NC(C)=O)cc1"
    first, second = NeighboursResponse.model_validate(document).neighbours
    assert first.smiles == PARACETAMOL
    assert first.similarity > second.similarity
    assert first.measured["solubility"].qualifier == ">"
    body = {"smiles": "CCN", "endpoint": "solubility"}
    of_endpoint = asking.post("/v1/neighbours", body).json()["neighbours"]
    assert of_endpoint[0]["smiles"] == "CCN(CC)CC"
    assert len(of_endpoint) == 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"smiles": "no"}, (422, "bad_structure")),
        ({"smiles": "CCO", "endpoint": "herg"}, (422, "unknown_endpoint")),
        ({"smiles": "CCO", "most": 0}, (422, "malformed")),
        ({"smiles": "CCO", "most": 51}, (422, "malformed")),
        ({"smiles": "CCO", "molblock": "CCO"}, (422, "malformed")),
        ({}, (422, "malformed")),
        ([], (422, "malformed")),
    ],
)
def test_what_cannot_be_answered_is_named(
    asking: Asking, body: object, expected: tuple[int, str]
) -> None:
    assert _code(asking.post("/v1/neighbours", body)) == expected


def test_neighbours_need_the_scope_data(asking: Asking) -> None:
    assert _code(asking.post("/v1/neighbours", {"smiles": "CCO"}, "predict")) == (
        403,
        "not_allowed",
    )


def test_a_site_that_shares_none_says_so(asking: Asking) -> None:
    lay_out(asking.folder, "similarity", "b" * 64)
    assert _code(asking.post("/v1/neighbours", {"smiles": "CCO"})) == (404, "no_reference")
    asking.folder.joinpath("current").unlink()
    assert _code(asking.post("/v1/neighbours", {"smiles": "CCO"})) == (404, "no_reference")
    answer = asking.post("/v1/predict", {"smiles": PARACETAMOL})
    assert (answer.status_code, b"measured" in answer.content) == (200, False)


def test_before_the_first_release_there_is_nothing_to_ask(empty: Asking) -> None:
    assert _code(empty.post("/v1/neighbours", {"smiles": "CCO"})) == (503, "no_release")
    answer = empty.get("/v1/percentiles")
    assert _code(answer) == (503, "not_yet")
    assert answer.headers["retry-after"] == "5"


def test_what_there_is_to_ask_for_is_told(asking: Asking) -> None:
    def told(scopes: str = "predict data") -> list[str]:
        shown = Shown.beside(asking.folder.parent / "releases")
        request = Request({"type": "http", "headers": [], "state": {}})
        setattr(request.state, STATE, Caller("lab", frozenset(scopes.split())))  # type: ignore[arg-type]
        return shows(request, shown, asking.percentiles)

    assert told() == ["neighbours"]  # nobody has tried it yet
    asking.client.portal.call(asking.percentiles.step)  # type: ignore[union-attr]
    assert told() == ["neighbours", "percentiles"]
    assert told("predict") == ["percentiles"]
    lay_out(asking.folder, "similarity", "b" * 64)
    asking.client.portal.call(asking.percentiles.step)  # type: ignore[union-attr]
    assert told() == ["percentiles"]
    asking.folder.joinpath("current").unlink()
    assert told() == ["percentiles"]
    status = asking.folder.parent / "status"
    status.mkdir()
    (status / "site.json").write_text('{"at": "2026-01-02T03:04:05Z", "status": {}}')
    assert told() == ["percentiles", "site"]


def test_a_reference_that_is_replaced_is_used_at_once(asking: Asking) -> None:
    body = {"smiles": PARACETAMOL}
    first = asking.post("/v1/predict", body).content
    lay_out(asking.folder, name="b" * 64)
    assert asking.post("/v1/predict", body).content == first
    asking.folder.joinpath(f"{'b' * 64}.sqlite3").write_bytes(b"damaged")
    lay_out(asking.folder, name="c" * 64)
    assert asking.post("/v1/predict", body).content == first


def test_percentiles_of_the_own_compounds_need_the_scope_data(asking: Asking) -> None:
    asking.client.portal.call(asking.percentiles.step)  # type: ignore[union-attr]
    document = asking.get("/v1/percentiles").json()
    sets = PercentilesResponse.model_validate(document).sets
    assert [(one.name, one.n > 0) for one in sets] == [
        ("approved_drugs", True),
        ("own_compounds", True),
    ]
    assert sets[1].n == 5
    for one in sets:
        assert set(one.endpoints) == {"logd", "solubility", "clint", "bbb_class"}
        for values in one.endpoints.values():
            assert len(values) == 101
            assert values == sorted(values)
    fewer = asking.get("/v1/percentiles", "predict").json()
    assert [one["name"] for one in fewer["sets"]] == ["approved_drugs"]
    assert fewer["sets"] == document["sets"][:1]


def test_the_report_is_passed_on_as_the_keeper_wrote_it(asking: Asking) -> None:
    assert _code(asking.get("/v1/site", "predict")) == (404, "no_report")
    status = asking.folder.parent / "status"
    status.mkdir()
    written = {"at": "2026-01-02T03:04:05Z", "status": {"releases": [], "endpoints": {}}}
    (status / "site.json").write_text(json.dumps(written))
    assert asking.get("/v1/site", "predict").json() == {
        "time": "2026-01-02T03:04:05Z",
        "releases": [],
        "endpoints": {},
    }


def test_the_routes_are_documented(asking: Asking) -> None:
    paths = asking.get("/openapi.json").json()["paths"]
    assert {"/v1/neighbours", "/v1/percentiles", "/v1/site"} <= set(paths)


def test_the_name_in_use_is_the_one_that_was_laid_out(asking: Asking) -> None:
    assert asking.percentiles.shown.current() == NAME
