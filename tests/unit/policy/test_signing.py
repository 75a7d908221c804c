from pathlib import Path

import pytest

from agent.errors import Refused
from agent.keys import SigningIdentity, new_signing
from agent.policy.signing import Found, SignOff, check, look, sign_off, signature_path
from agent.wire.signed import parse, sign

OFFICER = new_signing("officer")
AT = "2026-03-01T12:00:00.000000Z"
TEXT = b"version = 1\n"


def _signed(content: bytes = TEXT, officer: SigningIdentity = OFFICER) -> bytes:
    return sign_off(content, 1, officer, "Kim", AT)


def test_what_the_officer_signed_is_believed() -> None:
    found = check(Found(TEXT, _signed()), OFFICER.public_hex)
    assert (found.signer, found.signed, found.version) == ("Kim", AT, 1)
    assert found.key == OFFICER.public_hex


def test_without_a_pinned_key_the_first_officer_is_believed() -> None:
    stranger = new_signing("officer")
    assert check(Found(TEXT, _signed(officer=stranger)), "").key == stranger.public_hex


def _other_key_inside() -> bytes:
    payload = _signed()

    document = SignOff.parse(parse(payload).payload)
    changed = document.model_copy(update={"key": new_signing("officer").public_hex})
    return sign("policy", changed.to_bytes(), OFFICER)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Found(None, _signed()), "policy_missing"),
        (Found(TEXT, None), "policy_unsigned"),
        (Found(TEXT + b"#", _signed()), "policy_altered"),
        (Found(TEXT, _signed(officer=new_signing("officer"))), "unknown_signer"),
        (Found(TEXT, _other_key_inside()), "unknown_signer"),
        (Found(TEXT, b"x"), "not_json"),
        (Found(TEXT, b" " * (1 << 20)), "too_large"),
        (Found(TEXT, sign("declined", b"{}", OFFICER)), "wrong_type"),
    ],
)
def test_what_is_not_signed_off(found: Found, code: str) -> None:
    with pytest.raises(Refused) as refused:
        check(found, OFFICER.public_hex)
    assert refused.value.code == code


def test_without_a_pin_a_key_in_the_container_must_be_the_one_that_signed() -> None:
    with pytest.raises(Refused, match="unknown_signer"):
        check(Found(TEXT, _other_key_inside()), "")
    with pytest.raises(Refused, match="malformed"):
        check(Found(TEXT, sign("policy", b"{}", OFFICER)), "")


def test_the_signature_stands_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    assert look(path) == Found(None, None)
    path.write_bytes(TEXT)
    signature_path(path).write_bytes(_signed())
    assert look(path) == Found(TEXT, _signed())
    assert signature_path(path).name == "policy.toml.sig"
