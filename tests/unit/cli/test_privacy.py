"""`onggi privacy`: spent, left, on what; a damaged chain is an error and no report."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.keeper.site import Site
from agent.ledger.book import Ledger
from agent.privacy.account import Account, Budget, Charge
from agent.privacy.accounting import calibrate

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home

NOW = datetime(2026, 11, 23, tzinfo=UTC)
BUDGET = Budget(8.0, 1e-5)


@pytest.fixture
def paid(home: "Home") -> "Home":
    home.enrol()
    with Ledger(home.paths.ledger) as ledger:
        account = Account(ledger, Site.privacy_head_in(home.paths.models))
        for name in ("p1.r1.a1", "p1.r2.a1"):
            charge = Charge(id=name, family="p1", noise=1.5, rate=0.1, steps=20, clip=1.0)
            account.reserve(charge, BUDGET, NOW)
        account.commit("p1.r1.a1", BUDGET, NOW)
    return home


def test_it_says_what_was_spent_and_what_is_left(paid: "Home") -> None:
    said = json.loads(paid.run("privacy", "--json").stdout)
    assert [(c["id"], c["committed"] is not None) for c in said["charges"]] == [
        ("p1.r1.a1", True),
        ("p1.r2.a1", False),
    ]
    assert said["spent"] + said["left"] == pytest.approx(said["budget"])
    assert 0 < said["spent"] <= said["spent_by_moments"]
    told = paid.run("privacy").stdout
    assert "no, and spent" in told
    assert f"left: {said['left']:.3g}" in told


def test_before_anything_was_spent(home: "Home") -> None:
    home.enrol()
    Ledger(home.paths.ledger).close()
    assert json.loads(home.run("privacy", "--json").stdout)["left"] == 8.0
    assert "Spent: epsilon 0 of 8" in home.run("privacy").stdout


def test_a_broken_chain_is_an_error(paid: "Home") -> None:
    with Ledger(paid.paths.ledger) as ledger:
        ledger.connection.execute("DELETE FROM privacy WHERE seq = 1")
    result = paid.run("privacy")
    assert isinstance(result.exception, Refused)
    assert result.exception.code == "privacy_chain_broken"


def test_it_says_whose_noise_a_shared_one_is(paid: "Home") -> None:
    assert "t silos" not in paid.said("privacy")
    with Ledger(paid.paths.ledger) as ledger:
        account = Account(ledger, Site.privacy_head_in(paid.paths.models))
        shared = Charge(
            id="p2.r1.a1", family="p2", noise=2.5, rate=0.1, steps=1, clip=1.0, shared=True
        )
        account.reserve(shared, BUDGET, NOW)
    told = paid.said("privacy")
    assert "2.5*" in told
    assert "its ε holds as long as so many of them add their share" in told
    assert [one["shared"] for one in paid.json("privacy")["charges"]] == [False, False, True]


@pytest.mark.slow
def test_the_least_noise_for_a_plan_is_told(home: "Home") -> None:
    asked = ("privacy", "noise", "--epsilon", "3", "--rate", "0.1", "--rounds", "20")
    noise = calibrate(3.0, 1e-5, 0.1, 20)
    assert home.said(*asked).strip() == f"noise = {noise:g}"
    assert json.loads(home.said(*asked, "--json")) == {"noise": noise}
