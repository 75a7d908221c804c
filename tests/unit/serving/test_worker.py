import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.features.reference import REFERENCE_SMILES
from agent.releases.card import ModelCard
from agent.releases.folder import MODEL
from agent.serving import bodies, worker
from agent.serving.bodies import Asked
from agent.serving.predictor import Given
from agent.serving.worker import Desk

Build = Callable[..., ModelCard]


def _unwatched(structures: Iterable[Given], _start: int) -> Iterable[Given]:
    return structures


@pytest.fixture
def desk(install: Build, releases: Path) -> Desk:
    install("r1", 1)
    return Desk(releases, _unwatched)


def _piece(*smiles: str) -> bytes:
    (piece,) = bodies.chunks([Asked(text, "smiles") for text in smiles])
    return piece


def _results(rendered: bytes) -> list[dict[str, object]]:
    results: list[dict[str, object]] = json.loads(b"[" + rendered + b"]")
    return results


def test_it_answers_in_order_and_counts(desk: Desk) -> None:
    head, rendered = desk.reply({"do": "predict", "release": "r1"}, _piece("CCO", "no", "CCN"))
    assert head == {"good": 2, "bad": 1, "failed": 0}
    assert [result["smiles"] for result in _results(rendered)] == ["CCO", "no", "CCN"]


def test_what_ended_a_worker_is_answered_in_its_place_and_not_read(
    install: Build, releases: Path
) -> None:
    install("r1", 1)
    read = []

    def watch(structures: Iterable[Given], start: int) -> Iterable[Given]:
        for number, given_one in enumerate(structures, start):
            read.append((number, given_one[0]))
            yield given_one

    piece = _piece("C", "CC", "CCC", "CCCC")
    asked = {"do": "predict", "release": "r1", "gone": [[3, "crash"], [1, "late"]]}
    head, rendered = Desk(releases, watch).reply(asked, piece)
    assert head == {"good": 2, "bad": 2, "failed": 1}
    assert read == [(0, "C"), (2, "CCC")]
    errors = [result.get("error") for result in _results(rendered)]
    assert [error and error["step"] for error in errors] == [None, "time", None, "crash"]  # type: ignore[index]


def test_a_large_call_is_read_and_cut(desk: Desk) -> None:
    texts = ["C" * (1 + n % 9) for n in range(bodies.CHUNK + 3)]
    head, joined = desk.reply({"do": "split"}, json.dumps({"smiles": texts}).encode())
    ends = [0, head["lengths"][0], sum(head["lengths"])]
    pieces = [bodies.read_chunk(joined[start:end]) for start, end in pairwise(ends)]
    assert [one.structure for piece in pieces for one in piece] == texts
    assert len(pieces[1]) == 3


def test_a_refusal_is_an_answer(desk: Desk, releases: Path) -> None:
    assert desk.reply({"do": "split"}, b"{")[0]["problem"][:2] == [422, "malformed"]
    assert desk.reply({"do": "load", "release": "../r1"}, b"")[0]["refused"][0] == "bad_release_id"
    model = releases / "r1" / MODEL
    model.unlink()
    assert desk.reply({"do": "load", "release": "r1"}, b"")[0]["refused"][0] == "unloadable_model"


def test_a_rehearsal_wants_an_answer_to_two_molecules(
    desk: Desk, install: Build, releases: Path
) -> None:
    assert desk.reply({"do": "rehearse", "release": "r1"}, b"") == ({}, b"")
    install("r2", 2, level=-1e6)
    head, _ = Desk(releases, _unwatched).reply({"do": "rehearse", "release": "r2"}, b"")
    assert head["refused"][0] == "bad_answers"
    head, _ = desk.reply({"do": "predict", "release": "r2"}, _piece("CCO", "no"))
    assert head == {"good": 0, "bad": 2, "failed": 1}
    head, _ = desk.reply({"do": "explain", "release": "r2", "endpoint": None}, _piece("no"))
    assert head["problem"][:2] == [422, "bad_structure"]


def test_a_fault_of_its_own_tells_only_its_kind(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    assert desk.reply({"do": "predict", "release": "r1"}, b"[[0]]") == (
        {"raised": "ValueError"},
        b"",
    )
    assert "worker_raised" in caplog.text


def test_it_keeps_two_releases_and_loads_others_when_they_are_asked(
    install: Build, releases: Path
) -> None:
    desk = Desk(releases, _unwatched)
    for version, name in enumerate(("r1", "r2", "r3"), start=1):
        install(name, version, level=float(version))
    for name in ("r1", "r2", "r3", "r2", "r1"):
        head, rendered = desk.reply({"do": "predict", "release": name}, _piece("CCO"))
        assert head["good"] == 1
        assert json.loads(rendered)["predictions"]["logd"]["value"] == float(name[1])
    assert len(desk._loaded) == worker._KEPT


@given(cuts=st.sets(st.integers(1, 59), max_size=8), rotation=st.integers(0, 59))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_structure_gets_the_same_bytes_in_whichever_company(
    desk: Desk, cuts: set[int], rotation: int
) -> None:
    texts = [*(list(REFERENCE_SMILES) * 3)[:58], "no structure", ""]
    turned = texts[rotation:] + texts[:rotation]
    asked = {"do": "predict", "release": "r1"}
    ends = [0, *sorted(cuts), len(turned)]
    pieces = [_piece(*turned[start:end]) for start, end in pairwise(ends)]
    found = [result for piece in pieces for result in _lines(desk.reply(asked, piece)[1])]
    alone = {text: desk.reply(asked, _piece(text))[1] for text in dict.fromkeys(texts)}
    assert found == [alone[text] for text in turned]


def _lines(rendered: bytes) -> list[bytes]:
    """Cuts rendered answers apart without reading them."""
    parts = rendered.split(b', {"smiles": ')
    return [parts[0], *(b'{"smiles": ' + part for part in parts[1:])]


def test_a_worker_loads_no_web_framework() -> None:
    code = "import sys, agent.serving.worker; print({'fastapi', 'starlette'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"set()\n"
