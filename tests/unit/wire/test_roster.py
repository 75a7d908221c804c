"""Whose key is which."""

import pytest

from agent.errors import Refused
from agent.keys import new_signing
from agent.wire.documents import Member, Roster, RotationRequest
from agent.wire.roster import (
    key_of,
    member_of,
    sign_rotation,
    signing_fingerprints,
    verify_rotation,
)
from agent.wire.signed import countersign, key_id, parse, sign, verify

_OLD, _NEW = new_signing("sign"), new_signing("sign")
_WHEN = "2026-01-01T00:00:00Z"
_MEMBER = Member(
    silo="a",
    legal_entity="",
    sign_key=_OLD.public_hex,
    seal_key="11" * 32,
    courier_key="22" * 32,
    not_before=_WHEN,
    expires="2027-01-01T00:00:00Z",
)
_ROSTER = Roster(
    consortium="c",
    version=1,
    issued=_WHEN,
    expires="2027-01-01T00:00:00Z",
    members=(
        _MEMBER,
        _MEMBER.model_copy(update={"silo": "b", "sign_key": "33" * 32, "revoked": True}),
    ),
)
_REQUEST = RotationRequest(
    consortium="c",
    silo="a",
    purpose="sign",
    old_key=_OLD.public_hex,
    new_key=_NEW.public_hex,
    created=_WHEN,
)


def test_a_site_can_pin_its_peers() -> None:
    assert signing_fingerprints(_ROSTER) == {"a": key_id(_OLD.public_hex)}, "not the revoked one"


def test_members_and_their_keys() -> None:
    assert member_of(_ROSTER, "a") == _MEMBER
    assert member_of(_ROSTER, "x") is None
    assert [key_of(_MEMBER, one) for one in ("sign", "seal", "courier")] == [
        _OLD.public_hex,
        "11" * 32,
        "22" * 32,
    ]


def test_a_request_is_believed_with_both_signatures_only() -> None:
    whole = sign_rotation(_REQUEST, _OLD, _NEW)
    assert verify_rotation(whole, _MEMBER, "c") == _REQUEST
    with pytest.raises(Refused, match="not_possessed"):
        verify_rotation(sign_rotation(_REQUEST, _OLD, None), _MEMBER, "c")
    with pytest.raises(Refused, match="unknown_signer"):
        verify_rotation(sign_rotation(_REQUEST, _NEW, _NEW), _MEMBER, "c")
    # A signature under the new key's id that is not its own.
    other = countersign(whole, new_signing("sign"))
    forged = other.replace(parse(other).signatures[2][0].encode(), b"")
    with pytest.raises(Refused):
        verify_rotation(forged.replace(key_id(_NEW.public_hex).encode(), b"0" * 64), _MEMBER, "c")


def test_a_request_of_another_name_is_refused() -> None:
    stolen = _REQUEST.model_copy(update={"silo": "b"})
    with pytest.raises(Refused, match="wrong_silo"):
        verify_rotation(sign_rotation(stolen, _OLD, _NEW), _MEMBER, "c")


def test_a_second_signature_is_added_once() -> None:
    unsigned = sign("roster", b"{}")
    assert parse(unsigned).signatures == ()
    once = countersign(unsigned, _OLD)
    twice = countersign(countersign(once, _NEW), _OLD)
    assert sorted(name for name, _ in parse(twice).signatures) == sorted(
        key_id(one.public_hex) for one in (_OLD, _NEW)
    )
    keys = {key_id(one.public_hex): one.public_hex for one in (_OLD, _NEW)}
    assert verify(twice, "roster", keys, 2) == b"{}"


@pytest.mark.parametrize(
    ("member", "consortium", "code"),
    [
        (_MEMBER.model_copy(update={"revoked": True}), "c", "revoked"),
        (_MEMBER, "other", "wrong_consortium"),
        (_MEMBER, "c", "wrong_key"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(member: Member, consortium: str, code: str) -> None:
    request = _REQUEST.model_copy(update={"old_key": "44" * 32} if code == "wrong_key" else {})
    with pytest.raises(Refused, match=code):
        verify_rotation(sign_rotation(request, _OLD, _NEW), member, consortium)


def test_a_sealing_key_cannot_sign_for_itself() -> None:
    request = _REQUEST.model_copy(
        update={"purpose": "seal", "old_key": "11" * 32, "new_key": "55" * 32}
    )
    assert verify_rotation(sign_rotation(request, _OLD, None), _MEMBER, "c") == request
