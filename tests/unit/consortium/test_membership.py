"""A year later: rosters are renewed, and a revoked silo stays out."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.documents import Roster
from agent.wire.request import NONCE, SIGNATURE, SILO, TIME, request_message
from agent.wire.trusted import Trusted
from consortium.auth import Claim, authenticate
from consortium.founding import root_sha256
from consortium.membership import certificate_warnings, warnings
from consortium.rosters import Changes
from consortium.store import newest, roster

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House

_DAY_S = 86400.0


def _ask(house: "House", silo: str, nonce: str = "0" * 32) -> str:
    time = to_text(house.now)
    message = request_message("GET", "/v1/roster", silo, time, nonce, sha256_bytes(b""))
    signature = house.silos[silo].courier.sign(message).hex()
    headers = {SILO: silo, TIME: time, NONCE: nonce, SIGNATURE: signature}
    with house.store.writing() as session:
        return authenticate(session, Claim("GET", "/v1/roster", headers, b""), house.now)


def _renew(house: "House") -> Roster:
    house.change(Changes(renew=True))
    with house.store.reading() as session:
        return roster(session)


def _revoke(house: "House", silo: str) -> Roster:
    house.change(Changes(revoke=(silo,)))
    with house.store.reading() as session:
        return roster(session)


def _trusted(house: "House") -> Trusted:
    return Trusted(house.folder.trust_root.read_bytes(), root_sha256(house.folder), house.now)


def _published(house: "House") -> bytes:
    with house.store.reading() as session:
        return newest(session, "roster").document


def test_after_a_year_a_renewal_lets_everybody_in_again(house: "House") -> None:
    house.enrol("a", "b")
    old, trusted = _published(house), _trusted(house)
    trusted.take_roster(old, house.now)
    house.later(366 * _DAY_S)
    with pytest.raises(Refused, match="unknown_silo"):
        _ask(house, "a")
    with pytest.raises(Refused, match="expired"):
        _trusted(house).take_roster(old, house.now)
    renewed = _renew(house)
    assert _ask(house, "a") == "a"
    taken = trusted.take_roster(_published(house), house.now)
    assert taken == renewed
    assert (taken.version, [one.silo for one in taken.members]) == (4, ["a", "b"])
    house.later(364 * _DAY_S)
    assert _ask(house, "b") == "b"


def test_a_year_later_a_plan_runs_on_the_renewed_roster(house: "House") -> None:
    house.enrol("a", "b")
    house.later(366 * _DAY_S)
    _renew(house)
    house.plan(rounds=1)
    house.settle()
    for name in "ab":
        assert house.deliver(name, house.seal(name)).kind == "receipt"
    house.settle()
    assert set(house.states().values()) == {"counted"}


def test_a_revoked_silo_is_refused_from_then_on_even_after_a_renewal(house: "House") -> None:
    house.enrol("a", "b")
    house.plan()
    house.settle()
    sealed = house.seal("b")
    assert _ask(house, "b") == "b"
    revoked = _revoke(house, "b")
    assert [(one.silo, one.revoked) for one in revoked.members] == [("a", False), ("b", True)]
    with pytest.raises(Refused, match="unknown_silo"):
        _ask(house, "b", "1" * 32)
    assert getattr(house.deliver("b", sealed), "code", "") == "revoked"
    house.later(366 * _DAY_S)
    old = next(one.expires for one in revoked.members if one.silo == "b")
    renewed = {one.silo: one for one in _renew(house).members}
    assert (renewed["b"].revoked, renewed["b"].expires) == (True, old)
    assert from_text(renewed["a"].expires) > house.now
    with pytest.raises(Refused, match="unknown_silo"):
        _ask(house, "b", "2" * 32)
    with pytest.raises(Refused, match="already_enrolled"):
        house.token("b")


def test_what_ends_within_a_month_is_warned_of(house: "House") -> None:
    house.enrol("a", "b")
    _revoke(house, "b")
    with house.store.reading() as session:
        current = roster(session)
    house.later(334 * _DAY_S)
    assert warnings(current, house.now) == []
    house.later(2 * _DAY_S)
    whose = [line.split(" ends at ")[0] for line in warnings(current, house.now)]
    assert whose == ["The roster", "Silo a's membership"], "and not of who was revoked"
    house.later(30 * _DAY_S)
    assert all(" ended at " in line for line in warnings(current, house.now))
    assert all("roster renew" in line for line in warnings(current, house.now))


def test_a_certificate_that_ends_soon_is_said(house: "House") -> None:
    end = house.now + timedelta(days=31)
    assert certificate_warnings(end, house.now) == []
    house.later(2 * _DAY_S)
    assert certificate_warnings(end, house.now)[0].startswith("The TLS certificate ends at")
