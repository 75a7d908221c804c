import pytest

from agent.errors import Refused
from agent.keys import new_signing
from agent.wire.signed import sign
from agent.wire.statements import is_statement
from agent.wire.verdict import MAX_BYTES, HeadWord, Verdict, verify_verdict

KEY = new_signing("sign")
TAKEN = Verdict(
    consortium="kit",
    silo="silo-a",
    release_id="r1",
    weights_sha256="a" * 64,
    outcome="taken",
    created="2026-03-01T12:00:00Z",
)
REFUSED = TAKEN.model_copy(
    update={
        "outcome": "refused",
        "reason": "worse",
        "heads": (HeadWord(task="logd", outcome="worse"),),
    }
)


def _signed(verdict: Verdict, kind: str = "verdict") -> bytes:
    return sign(kind, verdict.to_bytes(), KEY)


@pytest.mark.parametrize("verdict", [TAKEN, REFUSED])
def test_a_verdict_is_believed_by_its_silos_key(verdict: Verdict) -> None:
    content = _signed(verdict)
    assert is_statement(content)
    assert verify_verdict(content, KEY.public_hex) == verdict


def test_an_envelope_is_no_statement() -> None:
    assert not is_statement(b"ONGGI-E1...")
    assert not is_statement(b"")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (_signed(TAKEN, "receipt"), "wrong_type"),
        (_signed(TAKEN.model_copy(update={"reason": "worse"})), "malformed"),
        (_signed(REFUSED.model_copy(update={"reason": None})), "malformed"),
        (_signed(REFUSED.model_copy(update={"reason": "so"})), "malformed"),
        (_signed(TAKEN) + b" " * MAX_BYTES, "too_large"),
        (b"{}", "bad_container"),
    ],
)
def test_what_is_no_verdict_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        verify_verdict(content, KEY.public_hex)
    assert refused.value.code == code


def test_another_silos_key_is_refused() -> None:
    with pytest.raises(Refused, match="unknown_signer"):
        verify_verdict(_signed(TAKEN), new_signing("sign").public_hex)


def test_a_private_head_cannot_be_written_into_one() -> None:
    with pytest.raises(ValueError, match="task"):
        HeadWord(task="private:own", outcome="worse")
