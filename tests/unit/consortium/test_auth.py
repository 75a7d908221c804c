"""Requests that are not what the courier signed."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agent.clock import to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keys import new_signing
from agent.wire.request import NONCE, SIGNATURE, SILO, TIME, request_message
from consortium.auth import Claim, authenticate
from consortium.tables import MemberRow

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House


def _claim(house: "House", nonce: str = "0" * 32, target: str = "/v1/feed?after=0") -> Claim:
    return _signed(house, to_text(house.now), target, nonce)


def _signed(house: "House", time: str, target: str, nonce: str) -> Claim:
    message = request_message("GET", target, "a", time, nonce, sha256_bytes(b"body"))
    signature = house.silos["a"].courier.sign(message).hex()
    headers = {SILO: "a", TIME: time, NONCE: nonce, SIGNATURE: signature}
    return Claim("GET", target, headers, b"body")


def _enter(house: "House", claim: Claim) -> str:
    with house.store.writing() as session:
        return authenticate(session, claim, house.now)


def _refused(house: "House", claim: Claim) -> str:
    with pytest.raises(Refused) as caught:
        _enter(house, claim)
    return caught.value.code


@pytest.fixture
def claim(house: "House") -> Claim:
    house.enrol("a", "b")
    return _claim(house)


def test_a_signed_request_names_its_silo(house: "House", claim: Claim) -> None:
    assert _enter(house, claim) == "a"


def test_a_replay_is_refused_even_after_a_restart(house: "House", claim: Claim) -> None:
    _enter(house, claim)
    house.restart()
    assert _refused(house, claim) == "replayed_request"
    assert _enter(house, _claim(house, "1" * 32)) == "a"


def test_nonces_are_kept_as_long_as_their_time_is_good(house: "House", claim: Claim) -> None:
    house.later(300)
    assert _enter(house, claim) == "a"
    house.later(0.1)
    assert _refused(house, claim) == "wrong_time"


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_clock_that_is_off_is_refused(house: "House", seconds: float) -> None:
    house.enrol("a")
    house.later(3600)  # well inside the membership, which begins five minutes before
    claim = _claim(house)
    house.later(seconds)
    assert _refused(house, claim) == "wrong_time"


def test_a_changed_request_is_refused(house: "House", claim: Claim) -> None:
    for changed in (
        replace(claim, method="PUT"),
        replace(claim, target="/v1/feed?after=1"),
        replace(claim, body=b"other"),
    ):
        assert _refused(house, changed) == "bad_signature"


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        (SILO, "b", "bad_signature"),
        (SILO, "stranger", "unknown_silo"),
        (TIME, "2026-03-01T12:00:01.000000Z", "bad_signature"),
        (NONCE, "1" * 32, "bad_signature"),
        (NONCE, "short", "unsigned_request"),
        (SIGNATURE, "00" * 64, "bad_signature"),
        (SIGNATURE, "zz", "unsigned_request"),
    ],
)
def test_a_changed_header_is_refused(
    house: "House", claim: Claim, header: str, value: str, code: str
) -> None:
    assert _refused(house, replace(claim, headers={**claim.headers, header: value})) == code


@pytest.mark.parametrize("header", [SILO, TIME, NONCE, SIGNATURE])
def test_a_missing_header_is_refused(house: "House", claim: Claim, header: str) -> None:
    headers = {name: value for name, value in claim.headers.items() if name != header}
    assert _refused(house, replace(claim, headers=headers)) == "unsigned_request"


def test_a_time_without_zone_is_refused(house: "House") -> None:
    house.enrol("a")
    claim = _signed(house, to_text(house.now).removesuffix("Z"), "/", "0" * 32)
    assert _refused(house, claim) == "wrong_time"


def test_another_key_of_the_silo_does_not_open_the_door(house: "House") -> None:
    house.enrol("a")
    house.silos["a"].courier = new_signing("courier")
    assert _refused(house, _claim(house)) == "bad_signature"


def test_a_revoked_silo_stays_out(house: "House", claim: Claim) -> None:
    with house.store.writing() as session:
        session.get_one(MemberRow, "a").revoked = True
    assert _refused(house, claim) == "unknown_silo"


def test_an_expired_membership_stays_out(house: "House") -> None:
    house.enrol("a")
    house.later(366 * 86400)
    assert _refused(house, _claim(house)) == "unknown_silo"


@pytest.mark.parametrize("seconds", [-301, 366 * 86400])
def test_a_member_is_let_in_between_its_dates_only(house: "House", seconds: float) -> None:
    house.enrol("a")  # valid from five minutes before, for 365 days
    house.later(seconds)
    assert _refused(house, _claim(house)) == "unknown_silo"
