from datetime import timedelta
from typing import TYPE_CHECKING

from agent.clock import now
from agent.errors import TryLater
from agent.files import exclusive
from agent.keeper.timekeeping import check_clock, latest_time
from agent.ledger.book import Ledger

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home


def test_a_person_accepts_the_clock(home: "Home") -> None:
    home.enrol()
    present = now()
    with Ledger(home.paths.ledger) as ledger:
        check_clock(ledger, present + timedelta(days=400))
    assert home.run("accept-clock").exit_code == 1  # nobody has said yes
    said = home.said("accept-clock", "--yes")
    assert said.startswith(f"The latest time was {(present + timedelta(days=400)).year}")
    with Ledger(home.paths.ledger) as ledger:
        assert latest_time(ledger, present) <= now()


def test_not_while_the_keeper_runs(home: "Home") -> None:
    home.enrol()
    with exclusive(home.paths.state / "keeper.lock"):
        assert isinstance(home.error("accept-clock", "--yes"), TryLater)
