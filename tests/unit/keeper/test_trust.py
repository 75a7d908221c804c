"""What a keeper believes after a kill is what it believed before it."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


@pytest.mark.parametrize("restart", [False, True])
def test_a_plan_runs_on_when_a_new_catalogue_comes(house: "House", restart: bool) -> None:
    consortium = house.consortium
    house.bring("plan", consortium.plan())
    house.bring("catalogue", consortium.signed_catalogue(2, endpoints=()))
    if restart:
        house.reopen()
    house.bring("round", consortium.round(1), consortium.base)
    house.bring_release(1)
    house.bring("plan", consortium.plan("p2"))
    assert [plan for plan, _ in house.trusted.plans.values()] == [consortium.plan_document()]
    assert house.state("round", "p1.r1.a1") == "announced"
    assert house.state("release", "r1") == "announced"
    assert house.refusals() == ["wrong_catalogue"], "a plan that came later was written for it"
