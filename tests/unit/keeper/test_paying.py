"""Rounds under a plan with noise: paid for before they train, sent within the budget, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keeper.orders import RoundOrder
from agent.ledger import egress
from agent.privacy.account import read_chain
from agent.privacy.accounting import Mechanism, epsilon
from agent.wire.documents import (
    LocalNoise,
    MaskRules,
    PaidNoise,
    PaidShare,
    Plan,
    SharedNoise,
    UpdateCore,
)
from agent.wire.envelope import read_core
from agent.wire.statements import header_of
from tests.kit.consortium import RECIPE

if TYPE_CHECKING:
    from agent.privacy.account import Chain
    from tests.unit.keeper.conftest import House

NOISE = LocalNoise(epsilon=2.0, delta=1e-5, clip=1.0, sampling_rate=0.25)

SHARED = SharedNoise(
    masking=MaskRules(n_min=3),
    epsilon=2.0,
    delta=1e-5,
    noise=3.0,
    clip=1.0,
    sampling_rate=0.25,
)


def _plan(house: House, noise: LocalNoise | SharedNoise = NOISE) -> Plan:
    recipe = RECIPE.model_copy(update={"weighting": "uniform"})
    return house.consortium.plan_document(privacy=noise, recipe=recipe)


def _bring(house: House, plan: Plan, number: int = 1) -> str:
    if number == 1:
        house.bring("plan", house.consortium.plan(privacy=plan.privacy, recipe=plan.recipe))
    manifest = house.consortium.round(number, plan_sha256=sha256_bytes(plan.to_bytes()))
    house.bring("round", manifest, house.consortium.base)
    assert house.refusals() == []
    house.order_rounds(house.ready())
    return f"p1.r{number}.a1"


def _order(house: House, round_id: str) -> RoundOrder:
    order = house.workers.order(house.item("job", f"round-{round_id}"))
    assert isinstance(order, RoundOrder)
    return order


def _chain(house: House) -> Chain:
    return read_chain(house.ledger, house.site.privacy_head)


def _seal(house: House, order: RoundOrder) -> str:
    with house.ledger.transaction():
        return house.rounds.seal(order, house.trained(), b"payload", house.now)


def test_a_round_is_paid_for_before_it_is_ordered(house: House) -> None:
    order = _order(house, _bring(house, _plan(house)))
    (charge,) = _chain(house).reserved()
    assert (charge.id, charge.family, charge.steps) == ("p1.r1.a1", "p1", 4)
    assert order.noise == charge.noise
    # The silo's own reckoning: both of the plan's rounds together keep to its epsilon.
    assert epsilon([Mechanism(charge.noise, 0.25, 8)], 1e-5) <= 2.0
    house.order_rounds(house.ready())
    assert len(_chain(house).entries) == 1


def test_the_header_and_the_egress_log_carry_the_cost(house: House) -> None:
    order = _order(house, _bring(house, _plan(house)))
    envelope_id = _seal(house, order)
    chain = _chain(house)
    assert [entry.what for entry in chain.entries] == ["reserved", "committed"]
    (line,) = egress.of_envelope(house.ledger, envelope_id)
    said = UpdateCore.parse(read_core(header_of(line.leaf))).privacy
    assert isinstance(said, PaidNoise)
    assert said.asked() == NOISE
    assert said.noise == order.noise
    assert said.epsilon_after == pytest.approx(chain.spent(1e-5))
    assert said.account_head == chain.head


def test_beyond_the_budget_nothing_is_trained(house: House) -> None:
    house.sign_off("[privacy]\nbudget_epsilon = 1.5\n")
    house.policing.enforce(house.now)
    _bring(house, _plan(house))
    _bring(house, _plan(house), 2)
    assert house.state("job", "round-p1.r1.a1") == "queued"
    second = house.item("round", "p1.r2.a1")
    assert (second.state, house.ledger.get("job", "round-p1.r2.a1")) == ("skipped", None)
    assert "budget_spent" in second.why
    assert len(_chain(house).reserved()) == 1


def test_beyond_a_budget_that_shrank_nothing_is_sent(house: House) -> None:
    order = _order(house, _bring(house, _plan(house)))
    house.sign_off("[privacy]\nbudget_epsilon = 0.5\n")
    house.policing.enforce(house.now)
    with pytest.raises(Refused, match="budget_spent"):
        _seal(house, order)
    assert egress.lines(house.ledger) == []
    assert [entry.what for entry in _chain(house).entries] == ["reserved"]  # and stays spent


def test_a_kill_between_payment_and_order_leaves_it_spent_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Stands for SIGKILL."""

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(house.workers, "submit", die)
    with pytest.raises(Killed):
        _bring(house, _plan(house))
    house.reopen()
    assert len(_chain(house).reserved()) == 1
    house.order_rounds(house.ready())
    assert _order(house, "p1.r1.a1").noise == _chain(house).reserved()[0].noise
    assert len(_chain(house).entries) == 1


def test_a_ledger_from_an_older_copy_trains_nothing_with_noise(house: House) -> None:
    _bring(house, _plan(house))
    house.ledger.connection.execute("DELETE FROM privacy")
    _bring(house, _plan(house), 2)
    assert "privacy_wound_back" in house.item("round", "p1.r2.a1").why


def test_an_epsilon_that_no_noise_reaches(house: House) -> None:
    tiny = NOISE.model_copy(update={"epsilon": 1e-6})
    _bring(house, _plan(house, tiny))
    assert "epsilon_out_of_reach" in house.item("round", "p1.r1.a1").why


def test_a_plan_without_noise_costs_nothing(house: House) -> None:
    order = house.round_order()
    assert order.noise == 0.0
    _seal(house, order)
    assert _chain(house).entries == ()
    assert not house.site.privacy_head.exists()


def test_a_share_of_noise_is_one_step_and_booked_as_what_t_silos_have(house: House) -> None:
    order = _order(house, _bring(house, _plan(house, SHARED)))
    (charge,) = _chain(house).reserved()
    assert (charge.steps, charge.noise, charge.shared) == (1, 3.0, True)
    assert order.noise == 3.0
    envelope_id = _seal(house, order)
    (line,) = egress.of_envelope(house.ledger, envelope_id)
    said = UpdateCore.parse(read_core(header_of(line.leaf))).privacy
    assert isinstance(said, PaidShare)
    assert said.asked() == SHARED
    assert said.epsilon_after == pytest.approx(epsilon([Mechanism(3.0, 0.25, 1)], 1e-5))
    assert said.account_head == _chain(house).head
    _bring(house, _plan(house, SHARED), 2)
    assert len(_chain(house).reserved()) == 2


def test_a_plan_that_understates_its_epsilon_is_not_trained(house: House) -> None:
    _bring(house, _plan(house, SHARED.model_copy(update={"noise": 0.5})))
    assert "noise_too_small" in house.item("round", "p1.r1.a1").why
    assert _chain(house).entries == ()
