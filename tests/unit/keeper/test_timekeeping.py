from datetime import timedelta
from typing import TYPE_CHECKING

from agent.keeper import status
from agent.keeper.timekeeping import accept_clock, check_clock, latest_time

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


def _check(house: "House", minutes: float) -> bool:
    return check_clock(house.ledger, house.now + timedelta(minutes=minutes))


def test_a_clock_that_only_goes_forward_says_nothing(house: "House") -> None:
    before = house.ledger.revision
    assert all(_check(house, minutes) for minutes in (0, 1, 2, 600))
    assert house.ledger.find("clock") == []
    written = house.ledger.revision
    assert written > before
    assert _check(house, 601)  # the highest time is not written down at every look
    assert house.ledger.revision == written


def test_a_few_minutes_back_are_no_reason_to_doubt(house: "House") -> None:
    assert _check(house, 60)
    assert _check(house, 56)


def test_a_clock_that_is_behind_is_doubted_until_it_has_caught_up(house: "House") -> None:
    assert _check(house, 600)
    house.reopen()
    for _ in range(2):
        assert not _check(house, 0)
    item = house.item("clock", "host")
    assert item.state == "doubted"
    assert "2026-03-01T22:00" in item.why
    stages = status.report(house.ledger, "silo-a")["stages"]
    assert isinstance(stages, dict)
    clock = stages["clock"]
    assert isinstance(clock, dict)
    assert "Compare it with another clock" in str(clock["wrong"])
    assert _check(house, 599)
    assert (house.state("clock", "host"), house.item("clock", "host").why) == ("trusted", "")
    assert not _check(house, -5)
    assert house.state("clock", "host") == "doubted"
    changes = house.ledger.connection.execute("SELECT after FROM transition").fetchall()
    assert [after for (after,) in changes] == ["doubted", "trusted", "doubted"]


def test_the_latest_time_never_falls(house: "House") -> None:
    assert latest_time(house.ledger, house.now) == house.now
    _check(house, 600)
    house.reopen()
    assert latest_time(house.ledger, house.now) == house.now + timedelta(minutes=600)
    later = house.now + timedelta(minutes=601)
    assert latest_time(house.ledger, later) == later


def test_a_person_may_accept_the_clock_after_it_was_far_ahead(house: "House") -> None:
    """Or every release would seem expired until that far day comes."""
    assert _check(house, 60 * 24 * 365 * 10)
    assert not _check(house, 0)
    house.bring("plan", house.consortium.plan())
    house.bring_release(1)
    assert house.refusals() == ["expired"]
    before = accept_clock(house.ledger, house.now)
    assert before == house.now + timedelta(minutes=60 * 24 * 365 * 10)
    assert house.state("clock", "host") == "trusted"
    house.bring_release(2)
    assert house.state("release", "r2") == "announced"
    accept_clock(house.ledger, house.now + timedelta(days=1))  # it lowers, and never raises
    assert latest_time(house.ledger, house.now) == house.now
