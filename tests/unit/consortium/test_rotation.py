"""A silo's new key: signed for by the old one, taken in by the officers, or refused by name."""

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import pytest

from agent.clock import to_text
from agent.errors import Refused
from agent.keys import SealingIdentity, SigningIdentity, new_sealing, new_signing
from agent.wire.documents import RotationRequest
from agent.wire.roster import member_of, sign_rotation, signing_fingerprints
from agent.wire.signed import key_id
from consortium.rosters import Changes, applications, rotations
from consortium.rotation import Rotations
from consortium.store import roster

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House

_DAY_S = 86400.0


def _asked(
    house: "House",
    purpose: Literal["sign", "seal", "courier"] = "sign",
    signer: SigningIdentity | None = None,
    new: SigningIdentity | SealingIdentity | None = None,
    possessed: bool = True,
    changes: dict[str, object] | None = None,
) -> bytes:
    silo = house.silos["a"]
    new = new or new_signing(purpose)
    request = RotationRequest(
        consortium="demo",
        silo="a",
        purpose=purpose,
        old_key=getattr(silo, purpose).public_hex,
        new_key=new.public_hex,
        created=to_text(house.now),
    ).model_copy(update=changes or {})
    second = new if isinstance(new, SigningIdentity) and possessed else None
    return sign_rotation(request, signer or silo.sign, second)


def _take(house: "House", content: bytes, sender: str = "a") -> bytes:
    return Rotations(house.store, "demo").take(content, sender)


def _code(house: "House", content: bytes, sender: str = "a") -> str:
    with pytest.raises(Refused) as caught:
        _take(house, content, sender)
    return caught.value.code


def test_a_new_signing_key_comes_with_the_next_roster(house: "House") -> None:
    house.enrol("a", "b")
    house.plan()
    house.settle()
    sealed = house.seal("a")
    old, new = house.silos["a"].sign, new_signing("sign")
    asked = _asked(house, new=new)
    assert _take(house, asked) == b'{"state":"pending"}'
    assert _take(house, asked) == b'{"state":"pending"}'
    house.change(Changes(rotate=None))
    assert _take(house, asked) == b'{"state":"done"}'
    with house.store.reading() as session:
        known = roster(session)
        assert rotations(session) == []
    assert signing_fingerprints(known)["a"] == key_id(new.public_hex)
    # What was under way is taken; so is what the new key signs.
    assert house.deliver("a", sealed).kind == "receipt"
    house.silos["b"].sign, other = house.silos["b"].sign, house.seal("b", signer=new)
    assert getattr(house.deliver("b", other), "code", "") == "wrong_silo"
    member = member_of(known, "a")
    assert member is not None
    assert member.retiring_sign_key == old.public_hex
    house.later(9 * _DAY_S)
    house.change(Changes(renew=True))
    with house.store.reading() as session:
        member = member_of(roster(session), "a")
    assert member is not None
    assert (member.retiring_sign_key, member.sign_key) == (None, new.public_hex)


def test_the_retired_key_is_refused_after_its_time(house: "House") -> None:
    house.enrol("a", "b")
    house.plan(quorum=1)
    house.settle()
    _take(house, _asked(house))
    house.change(Changes(rotate=("a",)))
    house.later(9 * _DAY_S)
    house.change(Changes(renew=True))
    assert getattr(house.deliver("a", house.seal("a")), "code", "") == "unknown_signer"


@pytest.mark.parametrize("purpose", ["seal", "courier"])
def test_other_keys_rotate_alike(house: "House", purpose: Literal["seal", "courier"]) -> None:
    house.enrol("a")
    new = new_sealing("seal") if purpose == "seal" else new_signing("courier")
    _take(house, _asked(house, purpose, new=new))
    house.change(Changes(rotate=("a",)))
    with house.store.reading() as session:
        member = member_of(roster(session), "a")
    assert member is not None
    assert getattr(member, f"{purpose}_key") == new.public_hex
    assert member.retiring_sign_key is None


def test_a_stranger_cannot_ask_for_a_key(house: "House") -> None:
    house.enrol("a", "b")
    assert _code(house, _asked(house, signer=new_signing("sign"))) == "unknown_signer"
    assert _code(house, _asked(house, signer=house.silos["b"].sign)) == "unknown_signer"
    assert _code(house, _asked(house, changes={"silo": "nobody"}), "nobody") == "unknown_silo"


def test_another_silos_courier_cannot_bring_it(house: "House") -> None:
    house.enrol("a", "b")
    assert _code(house, _asked(house), "b") == "wrong_silo"
    assert _take(house, _asked(house), "") == b'{"state":"pending"}', "a person may"


def test_a_key_that_is_not_held_is_refused(house: "House") -> None:
    house.enrol("a")
    assert _code(house, _asked(house, possessed=False)) == "not_possessed"


def test_another_silos_key_is_refused(house: "House") -> None:
    house.enrol("a", "b")
    stolen = house.silos["b"].courier
    assert _code(house, _asked(house, "courier", new=stolen)) == "already_enrolled"
    sealing = house.silos["b"].seal
    assert _code(house, _asked(house, "seal", new=sealing)) == "already_enrolled"


def test_an_old_request_cannot_bring_a_key_back(house: "House") -> None:
    house.enrol("a")
    first = _asked(house)
    house.now += timedelta(minutes=1)
    second_key = new_signing("sign")
    second = _asked(house, new=second_key)
    _take(house, first)
    _take(house, second)
    assert _code(house, first) == "older_request"
    house.change(Changes(rotate=None))
    house.silos["a"].sign = second_key
    assert _code(house, first) == "unknown_signer", "signed by a key that is no more"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"consortium": "other"}, "wrong_consortium"),
        ({"old_key": "00" * 32}, "wrong_key"),
    ],
)
def test_a_request_for_something_else_is_refused(
    house: "House", changes: dict[str, object], code: str
) -> None:
    house.enrol("a")
    assert _code(house, _asked(house, changes=changes)) == code


def test_one_silo_signs_for_another(house: "House") -> None:
    """The payload names b and the container is signed by b's key: but it says that it is a's."""
    house.enrol("a", "b")
    forged = _asked(house, changes={"silo": "b", "old_key": house.silos["b"].sign.public_hex})
    assert _code(house, forged, "b") == "unknown_signer"


def test_a_revoked_silo_gets_no_new_key(house: "House") -> None:
    house.enrol("a", "b")
    pending = _asked(house)
    _take(house, pending)
    house.change(Changes(revoke=("a",)))
    assert _code(house, _asked(house)) == "revoked"
    house.change(Changes(rotate=None))
    with house.store.reading() as session:
        member = member_of(roster(session), "a")
        assert applications(session) == []
    assert member is not None
    assert member.sign_key == house.silos["a"].sign.public_hex


def test_a_silo_that_does_not_wait_is_said(house: "House") -> None:
    house.enrol("a")
    for changes, code in (
        (Changes(rotate=("a",)), "not_waiting"),
        (Changes(admit=("x",)), "not_waiting"),
        (Changes(admit=None, rotate=None), "nothing_to_change"),
        (Changes(revoke=("x",)), "unknown_silo"),
    ):
        with pytest.raises(Refused, match=code):
            house.change(changes)
