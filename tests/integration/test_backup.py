"""A backup of a running silo, and a silo that goes on from it under new keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import EXIT_FAILED, EXIT_STOP
from tests.kit import measurements
from tests.kit.silo import Silo


@pytest.fixture
def silo(tmp_path: Path) -> Iterator[Silo]:
    made = Silo(tmp_path)
    yield made
    made.end()


@pytest.mark.slow
def test_a_silo_goes_on_from_its_backup_and_never_as_it_was(silo: Silo) -> None:
    rows = [("a", "CCO", 3.0), ("b", "CCCO", 4.0)]
    measurements.wide_csv(silo.store("wide") / "good.csv", rows)
    keeper = silo.start("keeper")
    silo.wait_for("file", "wide/good.csv", "ingested")
    backup = silo.root / "backup.tar"
    done = silo.run("backup", str(backup))
    assert done.returncode == 0, done.stderr
    assert keeper.poll() is None

    # Over a state that is there nothing is restored.
    assert silo.run("restore", str(backup)).returncode == EXIT_STOP
    keeper.terminate()
    assert keeper.wait(120) == 0
    before = (silo.paths.keys / "sign.key").read_bytes()
    silo.paths.state.rename(silo.root / "lost")

    damaged = silo.root / "damaged.tar"
    damaged.write_bytes(backup.read_bytes()[:-20_000])
    assert silo.run("restore", str(damaged)).returncode == EXIT_FAILED
    assert not silo.paths.ledger.exists()

    done = silo.run("restore", str(backup))
    assert done.returncode == 0, done.stderr
    assert "token of a new name" in done.stdout
    assert not list(silo.paths.keys.glob("*.key"))
    assert not list(silo.paths.courier.glob("*.key"))
    refused = silo.run("keeper")
    assert (refused.returncode, "not enrolled" in refused.stderr) == (EXIT_STOP, True)

    silo.consortium.enrol(silo.paths)
    assert (silo.paths.keys / "sign.key").read_bytes() != before
    silo.start("keeper")
    measurements.wide_csv(silo.store("wide") / "more.csv", [("m", "CCCCCCO", 3.0)])
    silo.wait_for("file", "wide/more.csv", "ingested")
    assert silo.states("file")["wide/good.csv"] == "ingested"
    assert silo.accounts()["wide/good.csv"]["used"] == 2  # its part came back with it
    assert silo.run("status", "--json").returncode == 0
