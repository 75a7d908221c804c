"""Statements and proofs: each refusal by its name, and bytes that nobody signed."""

import base64
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_signing
from agent.wire import merkle
from agent.wire.signed import sign
from agent.wire.statements import (
    MAX_STATEMENT_BYTES,
    Declined,
    EgressRoot,
    Leaf,
    Proof,
    header_of,
    is_statement,
    prove,
    receipt_of,
    verify_proof,
    verify_statement,
)

KEY, STRANGER = new_signing("sign"), new_signing("sign")
AT = "2026-03-01T12:00:00.000000Z"
DECLINED = Declined(
    consortium="kit",
    silo="silo-a",
    plan_id="p1",
    plan_sha256="ab" * 32,
    codes=("network_too_large",),
    created=AT,
)


def _leaf(number: int) -> Leaf:
    header = f"header {number}".encode()
    return Leaf(
        at=AT,
        envelope_id=sha256_bytes(header),
        kind="update",
        to="kit",
        about=f"p1.r{number}.a1",
        decision="released",
        by="policy",
        bytes=100,
        blob_sha256="cd" * 32,
        header=base64.b64encode(header).decode(),
    )


CONTENTS = [_leaf(number).to_bytes() for number in range(5)]


def _root(size: int = 5, after: int = 0) -> EgressRoot:
    hashes = [merkle.leaf_hash(content) for content in CONTENTS[:size]]
    return EgressRoot(
        consortium="kit",
        silo="silo-a",
        size=size,
        root=merkle.root(hashes).hex(),
        after_size=after,
        after_root=merkle.root(hashes[:after]).hex(),
        consistency=tuple(step.hex() for step in merkle.consistency_proof(hashes, after)),
        created=AT,
    )


def _signed(root: EgressRoot, key: SigningIdentity = KEY) -> bytes:
    return sign("egress_root", root.to_bytes(), key)


def _code(refused: pytest.ExceptionInfo[Refused]) -> str:
    return refused.value.code


def test_a_statement_is_told_from_an_envelope_and_read() -> None:
    content = sign("declined", DECLINED.to_bytes(), KEY)
    assert is_statement(content)
    assert not is_statement(b"ONGGI-E1")
    assert verify_statement(content, KEY.public_hex) == DECLINED
    assert verify_statement(_signed(_root()), KEY.public_hex) == _root()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (sign("declined", DECLINED.to_bytes(), STRANGER), "unknown_signer"),
        (sign("egress_root", DECLINED.to_bytes(), KEY), "malformed"),
        (sign("receipt", DECLINED.to_bytes(), KEY), "unknown_statement"),
        (b"{" * (MAX_STATEMENT_BYTES + 1), "too_large"),
        (b"{}", "bad_container"),
        (b"{", "not_json"),
    ],
)
def test_a_statement_that_is_not_believed(content: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        verify_statement(content, KEY.public_hex)
    assert _code(refused) == code


@given(st.binary(max_size=200))
def test_no_bytes_pass_for_a_statement(content: bytes) -> None:
    with pytest.raises(Refused):
        verify_statement(b"{" + content, KEY.public_hex)


@pytest.mark.parametrize("after", range(6))
def test_a_root_follows_each_earlier_one(after: int) -> None:
    assert _root(after=after).follows()


def test_a_root_that_does_not_follow() -> None:
    forged = _root(after=3).model_copy(update={"after_root": "00" * 32})
    assert not forged.follows()


@pytest.mark.parametrize("index", range(5))
def test_a_proof_shows_the_leaf_under_the_root(index: int) -> None:
    proof = prove(CONTENTS, index, _signed(_root()), b"receipt")
    again = Proof.parse(proof.to_bytes())
    assert verify_proof(again, KEY.public_hex) == (_leaf(index), _root())
    content, root_id = receipt_of(again)
    assert (content, root_id) == (b"receipt", sha256_bytes(_signed(_root())))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"index": 3}, "not_included"),
        ({"path": ("00" * 32,)}, "not_included"),
        ({"leaf": base64.b64encode(CONTENTS[1]).decode()}, "not_included"),
        ({"leaf": "not base64!"}, "bad_proof"),
        ({"root": base64.b64encode(_signed(_root(), STRANGER)).decode()}, "unknown_signer"),
        ({"root": base64.b64encode(_signed(_root(4))).decode()}, "not_included"),
        (
            {"root": base64.b64encode(sign("declined", DECLINED.to_bytes(), KEY)).decode()},
            "wrong_root",
        ),
    ],
)
def test_a_proof_that_does_not_hold(changes: Mapping[str, object], code: str) -> None:
    proof = prove(CONTENTS, 2, _signed(_root())).model_copy(update=changes)
    with pytest.raises(Refused) as refused:
        verify_proof(proof, KEY.public_hex)
    assert _code(refused) == code


@pytest.mark.parametrize("header", ["!", base64.b64encode(b"another").decode()])
def test_a_leaf_that_holds_another_header(header: str) -> None:
    content = _leaf(0).model_copy(update={"header": header}).to_bytes()
    hashes = [merkle.leaf_hash(content)]
    root = _root().model_copy(update={"size": 1, "root": merkle.root(hashes).hex()})
    with pytest.raises(Refused) as refused:
        verify_proof(prove([content], 0, _signed(root)), KEY.public_hex)
    assert _code(refused) == "wrong_leaf"


def test_a_line_from_before_the_tree_has_no_header() -> None:
    content = _leaf(0).model_copy(update={"header": ""}).to_bytes()
    root = _root().model_copy(update={"size": 1, "root": merkle.leaf_hash(content).hex()})
    leaf, _ = verify_proof(prove([content], 0, _signed(root)), KEY.public_hex)
    assert leaf.header == ""


def test_a_leaf_gives_back_its_header() -> None:
    assert header_of(_leaf(3)) == b"header 3"
