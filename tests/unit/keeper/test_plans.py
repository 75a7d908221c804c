from datetime import timedelta
from typing import TYPE_CHECKING

from agent.keeper.plans import plan_in_force

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


def _in_force(house: "House", days: float = 0) -> str:
    plan = plan_in_force(house.ledger, house.trusted, house.now + timedelta(days=days))
    return plan.plan_id if plan is not None else ""


def test_which_plan_is_in_force(house: "House") -> None:
    assert _in_force(house) == ""
    house.bring("plan", house.consortium.plan())
    assert [_in_force(house, days) for days in (0, 29, 30, 31, 29)] == ["p1", "p1", "", "", "p1"]
    house.bring("plan", house.consortium.plan("p2", expires=house.consortium.at(60)))
    assert [_in_force(house, days) for days in (0, 31, 61)] == ["p2", "p2", ""]


def test_a_plan_stays_in_force_when_a_new_catalogue_comes(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.bring("catalogue", house.consortium.signed_catalogue(2))
    assert _in_force(house) == "p1"
    house.reopen()
    assert _in_force(house) == "p1"


def test_a_plan_that_is_not_believed_any_more_is_not_in_force(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.ledger.put_document("plan", "p1", b"damaged", house.now)
    house.reopen()
    assert _in_force(house) == ""
    assert house.state("plan", "p1") == "accepted"
