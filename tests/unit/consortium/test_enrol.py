"""Tokens: good once, for one set of keys, and never burnt by a lost answer."""

import base64
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.wire.documents import EnrolmentResponse
from agent.wire.signed import parse
from agent.wire.trusted import Trusted
from consortium.enrol import Enrolment, reject
from consortium.founding import root_sha256
from consortium.rosters import Changes
from consortium.rotation import Rotations
from tests.unit.consortium.test_rotation import _asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from consortium.enrol import Reply
    from tests.unit.consortium.conftest import House, Silo

    MakeSilo = Callable[[str], Silo]


def _members(house: "House", answer: "Reply") -> list[str]:
    assert answer.admitted
    response = EnrolmentResponse.parse(answer.content)
    root = base64.b64decode(response.root)
    trusted = Trusted(root, root_sha256(house.folder), house.now)
    trusted.take_catalogue(base64.b64decode(response.catalogue))
    roster = trusted.take_roster(base64.b64decode(response.roster), house.now)
    return [member.silo for member in roster.members]


def _refusal(house: "House", request: bytes) -> str:
    with pytest.raises(Refused) as caught:
        house.enrolment.enrol(request, house.now)
    return caught.value.code


def test_the_answer_is_believed_by_the_silo(house: "House", new_silo: "MakeSilo") -> None:
    house.enrol("a")
    silo = new_silo("b")
    request = house.request(silo, house.token("b"))
    assert not house.enrolment.enrol(request, house.now).admitted
    house.change(Changes(admit=None))
    assert _members(house, house.enrolment.enrol(request, house.now)) == ["a", "b"]


def test_a_lost_answer_is_given_again(house: "House", new_silo: "MakeSilo") -> None:
    silo, nonce = new_silo("a"), house.token("a")
    waiting = house.enrolment.enrol(house.request(silo, nonce), house.now)
    house.restart()
    house.later(1e5)  # past the token's own end
    assert house.enrolment.enrol(house.request(silo, nonce), house.now) == waiting
    house.change(Changes(admit=("a",)))
    first = house.enrolment.enrol(house.request(silo, nonce), house.now)
    assert first.admitted
    house.restart()
    house.enrol("b")
    assert house.enrolment.enrol(house.request(silo, nonce), house.now) == first


def test_other_keys_cannot_use_it_again(house: "House", new_silo: "MakeSilo") -> None:
    nonce = house.token("a")
    house.enrolment.enrol(house.request(new_silo("a"), nonce), house.now)
    assert _refusal(house, house.request(new_silo("a"), nonce)) == "token_used"


def test_an_expired_token_is_refused(house: "House", new_silo: "MakeSilo") -> None:
    nonce = house.token("a", hours=1)
    house.later(3601)
    assert _refusal(house, house.request(new_silo("a"), nonce)) == "token_expired"


def test_an_unknown_token_is_refused(house: "House", new_silo: "MakeSilo") -> None:
    assert _refusal(house, house.request(new_silo("a"), "00" * 32)) == "unknown_token"


def test_another_silos_token_is_refused(house: "House", new_silo: "MakeSilo") -> None:
    assert _refusal(house, house.request(new_silo("b"), house.token("a"))) == "unknown_token"


def test_another_reference_set_is_told_and_may_come_back(
    house: "House", new_silo: "MakeSilo"
) -> None:
    house.enrol("a")
    silo, nonce = new_silo("b"), house.token("b")
    assert _refusal(house, house.request(silo, nonce, "cd" * 32)) == "wrong_reference"
    assert not house.enrolment.enrol(house.request(silo, nonce), house.now).admitted


def test_the_signing_key_must_be_possessed(house: "House", new_silo: "MakeSilo") -> None:
    silo, thief = new_silo("a"), new_silo("a")
    payload = parse(house.request(silo, house.token("a"))).payload
    assert _refusal(house, house.resign(payload, thief.sign)) == "unknown_signer"
    longer = house.resign(payload + b" ", silo.sign)
    signature = parse(longer).signatures[0][1]
    forged = house.resign(payload, silo.sign)
    swapped = forged.replace(
        base64.b64encode(parse(forged).signatures[0][1]), base64.b64encode(signature)
    )
    assert _refusal(house, swapped) == "bad_signature"


def test_keys_that_are_in_use_are_refused(house: "House", new_silo: "MakeSilo") -> None:
    house.enrol("a")
    silo = new_silo("b")
    silo.courier = house.silos["a"].courier
    assert _refusal(house, house.request(silo, house.token("b"))) == "already_enrolled"


def test_one_key_for_two_purposes_is_refused(house: "House", new_silo: "MakeSilo") -> None:
    silo = new_silo("b")
    silo.courier = silo.sign
    assert _refusal(house, house.request(silo, house.token("b"))) == "already_enrolled"


def test_a_member_gets_no_second_token(house: "House") -> None:
    house.enrol("a")
    with pytest.raises(Refused, match="already_enrolled"):
        house.token("a")


def test_a_rejected_silo_is_told_and_its_token_is_used_up(
    house: "House", new_silo: "MakeSilo"
) -> None:
    silo, nonce = new_silo("a"), house.token("a")
    house.enrolment.enrol(house.request(silo, nonce), house.now)
    with house.store.writing() as session:
        reject(session, "a")
    assert _refusal(house, house.request(silo, nonce)) == "rejected"
    second = house.token("a")
    assert not house.enrolment.enrol(house.request(silo, second), house.now).admitted
    assert _refusal(house, house.request(silo, nonce)) == "rejected", "and not the new request"


def test_a_name_that_waits_already_is_refused(house: "House", new_silo: "MakeSilo") -> None:
    first, second = house.token("a"), house.token("a")
    house.enrolment.enrol(house.request(new_silo("a"), first), house.now)
    assert _refusal(house, house.request(new_silo("a"), second)) == "already_enrolled"
    house.change(Changes(admit=None))
    assert _refusal(house, house.request(new_silo("a"), second)) == "already_enrolled"


def test_a_key_that_is_about_to_be_taken_in_is_refused(
    house: "House", new_silo: "MakeSilo"
) -> None:
    house.enrol("a")
    silo = new_silo("b")
    Rotations(house.store, "demo").take(_asked(house, new=silo.sign), "a")
    assert _refusal(house, house.request(silo, house.token("b"))) == "already_enrolled"


def test_the_reference_set_that_init_was_told_counts(house: "House", new_silo: "MakeSilo") -> None:
    told = house.settings.model_copy(update={"reference_sha256": "cd" * 32})
    house.enrolment = Enrolment(house.store, told)
    assert _refusal(house, house.request(new_silo("a"), house.token("a"))) == "wrong_reference"
    other = house.request(new_silo("a"), house.token("a"), "cd" * 32)
    assert not house.enrolment.enrol(other, house.now).admitted


def test_the_first_silo_that_waits_sets_the_reference(house: "House", new_silo: "MakeSilo") -> None:
    house.enrolment.enrol(house.request(new_silo("a"), house.token("a")), house.now)
    late = house.request(new_silo("b"), house.token("b"), "cd" * 32)
    assert _refusal(house, late) == "wrong_reference"
