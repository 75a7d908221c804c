import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import InvalidStructure
from agent.serving import bodies
from agent.serving.bodies import Asked, chunks, is_quick, parse, read_chunk, render, render_results
from agent.serving.problems import Problem


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"smiles": "CCO"}, [Asked("CCO", "smiles")]),
        ({"smiles": ["CCO", ""]}, [Asked("CCO", "smiles"), Asked("", "smiles")]),
        ({"smiles": []}, []),
        (
            {"structures": [{"id": "a", "smiles": "C"}, {"molblock": "x"}]},
            [Asked("C", "smiles", "a"), Asked("x", "molblock")],
        ),
    ],
)
def test_every_form_of_the_body_is_read(body: object, asked: list[Asked]) -> None:
    assert parse(json.dumps(body).encode()) == asked


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"", "its top"),
        (b"\xff", "its top"),
        (b"[]", "its top"),
        (b"{}", "its top"),
        (b'{"smiles": 1}', "smiles"),
        (b'{"smiles": ["C", null]}', "smiles"),
        (b'{"smiles": "C", "structures": []}', "its top"),
        (b'{"smiles": "C", "more": 1}', "more"),
        (b'{"structures": [{"id": "a"}]}', "structures.0"),
        (b'{"structures": [{"smiles": "C", "molblock": "x"}]}', "structures.0"),
        (b'{"structures": [{"smiles": "C", "id": 7}]}', "structures.0.id"),
        (b'{"smiles": "\\ud800"}', "its top"),
        (b"[" * 100_000, "its top"),
    ],
)
def test_a_malformed_body_is_refused_with_its_place(content: bytes, where: str) -> None:
    with pytest.raises(Problem) as caught:
        parse(content)
    assert (caught.value.status, caught.value.code) == (422, "malformed")
    assert f"malformed at {where}" in caught.value.detail


def test_too_many_structures_are_refused() -> None:
    most = json.dumps({"smiles": ["C"] * bodies.MAX_STRUCTURES}).encode()
    assert len(parse(most)) == bodies.MAX_STRUCTURES
    for content in (most.replace(b"[", b'["C",', 1), b'{"smiles":[' + b"1," * 1_000_001 + b"1]}"):
        with pytest.raises(Problem) as caught:
            parse(content)
        assert (caught.value.status, caught.value.code) == (413, "too_many_structures")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(Problem):
        assert isinstance(parse(content), list)


SECRET = st.text(alphabet="QXZ", min_size=8, max_size=20)


@given(SECRET, st.sampled_from(['{{"smiles": "{}', '{{"smiles": [1, "{}"]}}', '{{"smiles": {}}}']))
def test_a_refusal_never_repeats_the_structure(secret: str, shape: str) -> None:
    with pytest.raises(Problem) as caught:
        parse(shape.format(secret).encode())
    assert secret not in caught.value.detail


def test_answers_are_rendered_beside_what_was_asked() -> None:
    asked = [Asked("CCO", "smiles", "a"), Asked("x", "molblock"), Asked("é", "smiles")]
    answers: list[str | InvalidStructure] = [
        '"sol": {"value": 100.0}',
        InvalidStructure("parse", "no"),
        "",
    ]
    pieces = [render_results(asked[:2], answers[:2]), render_results(asked[2:], answers[2:])]
    content = render("r1", 3, pieces)
    assert content == render("r1", 3, [render_results(asked, answers)])
    assert json.loads(content) == {
        "release": "r1",
        "version": 3,
        "results": [
            {
                "id": "a",
                "smiles": "CCO",
                "predictions": {"sol": {"value": 100.0}},
            },
            {"error": {"step": "parse", "cause": "no"}},
            {"smiles": "é", "predictions": {}},
        ],
    }


def test_nothing_asked_is_nothing_answered() -> None:
    assert chunks([]) == []
    assert json.loads(render("r1", 3, [])) == {"release": "r1", "version": 3, "results": []}


@given(st.lists(st.tuples(st.text(), st.none() | st.text()), max_size=200))
def test_pieces_keep_every_structure_in_order(entries: list[tuple[str, str | None]]) -> None:
    asked = [Asked(text, "smiles", own_id) for text, own_id in entries]
    pieces = [read_chunk(piece) for piece in chunks(asked)]
    assert [one for piece in pieces for one in piece] == asked
    assert all(len(piece) <= bodies.CHUNK for piece in pieces)


def test_a_person_waits_for_few_and_small_structures() -> None:
    small, long = Asked("CCO", "smiles"), Asked("C" * 1000, "smiles")
    assert is_quick([])
    assert is_quick([small, Asked("C" * 1000, "molblock")])
    assert not is_quick([small, long])
    assert not is_quick([small] * 50)
