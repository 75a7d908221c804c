"""The account: reserved before training, never given back, chained, refused beyond the budget."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.ledger.book import Ledger
from agent.privacy.account import EMPTY, Account, Budget, Charge, read_chain

NOW = datetime(2026, 11, 23, tzinfo=UTC)
BUDGET = Budget(8.0, 1e-5)


def charge(name: str = "r-1", steps: int = 100) -> Charge:
    return Charge(id=name, family="plan-a", noise=1.0, rate=0.05, steps=steps, clip=1.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite3") as opened:
        yield opened


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    return tmp_path / "privacy.json"


@pytest.fixture
def account(ledger: Ledger, witness: Path) -> Account:
    return Account(ledger, witness)


def test_a_charge_is_reserved_then_committed(
    account: Account, ledger: Ledger, witness: Path
) -> None:
    assert read_chain(ledger, witness).head == EMPTY
    reserved = account.reserve(charge(), BUDGET, NOW)
    committed, head = account.commit("r-1", BUDGET, NOW)
    chain = read_chain(ledger, witness)
    assert [entry.what for entry in chain.entries] == ["reserved", "committed"]
    assert chain.head == head
    assert committed.epsilon_after == reserved.epsilon_after == chain.spent(1e-5) > 0


def test_a_reservation_is_spent_whether_it_is_used_or_not(
    account: Account, ledger: Ledger, witness: Path
) -> None:
    account.reserve(charge("r-1"), BUDGET, NOW)
    second = account.reserve(charge("r-2"), BUDGET, NOW)
    assert read_chain(ledger, witness).spent(1e-5) == second.epsilon_after
    with pytest.raises(Refused, match="budget_spent"):
        account.reserve(charge("r-3", steps=2000), BUDGET, NOW)
    assert len(read_chain(ledger, witness).entries) == 2


def test_another_familys_charge_counts_too(account: Account, ledger: Ledger, witness: Path) -> None:
    first = account.reserve(charge("r-1"), BUDGET, NOW)
    other = charge("r-2").model_copy(update={"family": "plan-b"})
    assert account.reserve(other, BUDGET, NOW).epsilon_after > first.epsilon_after


def test_the_same_reservation_again_costs_nothing_more(
    account: Account, ledger: Ledger, witness: Path
) -> None:
    first = account.reserve(charge(), BUDGET, NOW)
    assert account.reserve(charge(), BUDGET, NOW) == first
    with pytest.raises(Refused, match="charge_changed"):
        account.reserve(charge(steps=101), BUDGET, NOW)


def test_nothing_is_sent_unpaid_twice_or_beyond_a_smaller_budget(account: Account) -> None:
    with pytest.raises(Refused, match="not_reserved"):
        account.commit("r-1", BUDGET, NOW)
    account.reserve(charge(), BUDGET, NOW)
    with pytest.raises(Refused, match="budget_spent"):
        account.commit("r-1", Budget(0.1, 1e-5), NOW)
    account.commit("r-1", BUDGET, NOW)
    with pytest.raises(Refused, match="sent_already"):
        account.commit("r-1", BUDGET, NOW)


def test_a_reservation_inside_a_transaction_is_a_bug(account: Account, ledger: Ledger) -> None:
    with ledger.transaction(), pytest.raises(ValueError, match="durable"):
        account.reserve(charge(), BUDGET, NOW)


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE privacy SET entry = CAST(replace(entry, '100', '1') AS BLOB) WHERE seq = 1",
        "DELETE FROM privacy WHERE seq = 1",
        "UPDATE privacy SET seq = 9 WHERE seq = 2",
    ],
)
def test_a_link_that_was_touched_is_found(
    account: Account, ledger: Ledger, witness: Path, harm: str
) -> None:
    account.reserve(charge("r-1"), BUDGET, NOW)
    account.reserve(charge("r-2"), BUDGET, NOW)
    ledger.connection.execute(harm)
    with pytest.raises(Refused, match="privacy_chain_broken"):
        account.reserve(charge("r-3"), BUDGET, NOW)


def test_a_ledger_from_an_older_copy_pays_for_nothing(
    account: Account, ledger: Ledger, witness: Path
) -> None:
    account.reserve(charge("r-1"), BUDGET, NOW)
    account.reserve(charge("r-2"), BUDGET, NOW)
    ledger.connection.execute("DELETE FROM privacy WHERE seq = 2")
    with pytest.raises(Refused, match="privacy_wound_back"):
        account.reserve(charge("r-2"), BUDGET, NOW)
    with pytest.raises(Refused, match="privacy_wound_back"):
        account.confirm()


def test_what_came_out_of_a_backup_pays_for_nothing(account: Account, ledger: Ledger) -> None:
    account.reserve(charge(), BUDGET, NOW)
    with ledger.transaction():
        ledger.raise_floor("restored", 1)
    with pytest.raises(Refused, match="restored from a backup") as refused:
        account.reserve(charge(), BUDGET, NOW)
    assert refused.value.code == "privacy_wound_back"


def test_a_chain_that_was_made_anew_is_found(
    account: Account, ledger: Ledger, witness: Path
) -> None:
    account.reserve(charge("r-1"), BUDGET, NOW)
    kept = witness.read_bytes()
    witness.unlink()
    ledger.connection.execute("DELETE FROM privacy")
    account.reserve(charge("r-1", steps=1), BUDGET, NOW)
    witness.write_bytes(kept)
    with pytest.raises(Refused, match="privacy_wound_back"):
        read_chain(ledger, witness)


def test_a_damaged_witness_is_no_missing_one(
    account: Account, ledger: Ledger, witness: Path
) -> None:
    witness.write_bytes(b"{}")
    with pytest.raises(Refused, match="privacy_chain_broken"):
        read_chain(ledger, witness)


_DIES = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from agent.ledger.book import Ledger
from agent.privacy.account import Account, Budget, Charge
folder = Path(sys.argv[1])
ledger = Ledger(folder / "ledger.sqlite3")
class Dying(Account):
    def confirm(self):
        os.kill(os.getpid(), signal.SIGKILL)
charge = Charge(id="r-1", family="plan-a", noise=1.0, rate=0.05, steps=100, clip=1.0)
now = datetime(2026, 1, 1, tzinfo=UTC)
Dying(ledger, folder / "privacy.json").reserve(charge, Budget(8.0, 1e-5), now)
"""


@pytest.mark.slow
def test_a_kill_after_the_reservation_leaves_it_spent(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _DIES, str(tmp_path)], check=False, cwd=Path.cwd()
    )
    assert ended.returncode == -signal.SIGKILL
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        chain = read_chain(ledger, tmp_path / "privacy.json")
        assert [c.id for c in chain.reserved()] == ["r-1"]
        Account(ledger, tmp_path / "privacy.json").confirm()  # and it goes on from there
