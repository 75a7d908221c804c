import json
import math
import struct
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import InvalidStructure
from agent.serving import bodies, tensors
from agent.serving.answers import Answer, Estimate
from agent.serving.problems import Problem
from agent.serving.tensors import Question, Wanted
from tests.kit.cards import LOGD, OWN, card

CARD = card("r1", LOGD, OWN)
GOOD = {
    "logd": Estimate(1.5, 1.5, "", (1.0, 2.0), True),
    "private:own": Estimate(0.25, 0.25, "uM"),
}
BAD = InvalidStructure("parse", "It is none.")


def _request(shape: object, **more: object) -> dict[str, Any]:
    tensor = {"name": "SMILES", "datatype": "BYTES", "shape": shape}
    return {"inputs": [{**tensor, **more}]}


def _binary(texts: list[bytes]) -> tuple[bytes, int]:
    behind = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    head = json.dumps(_request([len(texts)], parameters={"binary_data_size": len(behind)})).encode()
    return head + behind, len(head)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=20))
def test_structures_are_read_alike_however_they_are_sent(smiles: list[str]) -> None:
    flat = json.dumps(_request([len(smiles)], data=smiles)).encode()
    deep = json.dumps(_request([len(smiles), 1], data=[[text] for text in smiles])).encode()
    content, head = _binary([text.encode() for text in smiles])
    assert tensors.read(flat, None)[1] == tensors.read(deep, None)[1] == smiles
    assert tensors.read(content, head)[1] == smiles
    assert tensors.read(deep, len(deep))[0].shape == [len(smiles), 1]


def test_a_text_that_is_no_utf8_keeps_its_place() -> None:
    assert tensors.read(*_binary([b"CCO", b"\xff\xfe", b"C"]))[1] == ["CCO", "\ufffd\ufffd", "C"]


@given(st.binary(max_size=60), st.none() | st.integers(0, 80))
def test_whatever_comes_is_read_or_refused(content: bytes, head: int | None) -> None:
    good, length = _binary([b"CCO"])
    for tried, size in ((content, head), (good[:length] + content, length)):
        try:
            said: object = tensors.read(tried, size)[1]
        except Problem as problem:
            said = problem.code
        assert said in (["CCO"], "malformed")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (_request([2], data=["C"]), "malformed"),
        (_request([1, 2], data=["C", "C"]), "malformed"),
        (_request([], data=[]), "malformed"),
        (_request([1]), "malformed"),
        (_request([1], data=["C"], parameters={"binary_data_size": 5}), "malformed"),
        (_request([0], parameters={"binary_data_size": False}), "malformed"),
        (_request([1], data=["C"]) | {"parameters": {"CCSCCO": [1]}}, "malformed"),
        (_request([1], data=["C"]) | {"outputs": [{"name": "a"}, {"name": "a"}]}, "malformed"),
        (_request([1], parameters={"shared_memory_region": "x"}, data=["C"]), "not_offered"),
        (_request([bodies.MAX_STRUCTURES + 1], data=[]), "too_many_structures"),
    ],
)
def test_what_does_not_fit_together_is_refused(request_: dict[str, Any], code: str) -> None:
    with pytest.raises(Problem) as refused:
        tensors.read(json.dumps(request_).encode(), None)
    assert refused.value.code == code
    assert "CCSCCO" not in refused.value.detail


def test_what_is_asked_survives_the_way_to_a_worker() -> None:
    outputs = [{"name": "logd", "parameters": {"binary_data": True}}, {"name": "error"}]
    asked = _request([1], data=["C"]) | {"id": "7", "outputs": outputs, "parameters": {"a": 1.5}}
    question, _ = tensors.read(json.dumps(asked).encode(), None)
    assert question.outputs == [Wanted("logd", True), Wanted("error", False)]
    assert Question.of(json.loads(json.dumps(asdict(question)))) == question
    with pytest.raises(Problem, match="unknown_endpoint"):
        Question(None, {}, [1], [Wanted("none", False)], False).wanted(CARD)


def _answer(binary: bool, *pieces: list[Answer]) -> tuple[dict[str, Any], bytes]:
    question = Question("q", {"who": "me"}, [sum(map(len, pieces))], None, binary)
    wanted = question.wanted(CARD)
    cut = [tensors.columns(CARD, piece, wanted) for piece in pieces]
    body, of_json = tensors.render(CARD, question, wanted, cut)
    assert (of_json is not None) == binary
    return json.loads(body[:of_json]), body[len(body) if of_json is None else of_json :]


def test_pieces_are_joined_by_columns() -> None:
    said, behind = _answer(False, [GOOD, BAD], [GOOD])
    columns = {output["name"]: output["data"] for output in said["outputs"]}
    assert columns == {
        "logd": [1.5, None, 1.5],
        "logd.lower": [1.0, None, 1.0],
        "logd.upper": [2.0, None, 2.0],
        "logd.inside": [True, False, True],
        "private:own": [0.25, None, 0.25],
        "private:own.lower": [None] * 3,
        "private:own.upper": [None] * 3,
        "private:own.inside": [False] * 3,
        "error": ["", "parse: It is none.", ""],
    }
    assert behind == b""
    assert (said["id"], said["model_version"]) == ("q", "3")
    assert said["parameters"] == {"who": "me", "release": "r1"}


def test_bytes_say_the_same_as_json() -> None:
    said, behind = _answer(True, [BAD], [GOOD])
    columns = {}
    for output in said["outputs"]:
        size = output["parameters"]["binary_data_size"]
        columns[output["name"]], behind = behind[:size], behind[size:]
    assert behind == b""
    first, second = struct.unpack("<2d", columns["logd.upper"])
    assert (math.isnan(first), second) == (True, 2.0)
    assert columns["logd.inside"] == b"\0\1"
    assert columns["error"] == b"\x12\0\0\0parse: It is none." + b"\0\0\0\0"


@pytest.mark.parametrize("binary", [False, True])
def test_nothing_asked_is_nothing_answered(binary: bool) -> None:
    question = Question(None, {}, [0], None, binary)
    body, of_json = tensors.render(CARD, question, question.wanted(CARD), [])
    outputs = json.loads(body[:of_json])["outputs"]
    assert len(outputs) == 9
    assert all(output.get("data", []) == [] for output in outputs)
