import signal
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING

import pytest

from agent import supervisor
from agent.cli.services import stop_event
from agent.errors import Stop, TryLater
from tests.kit import measurements

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home

Services = dict[str, Sequence[str]]

_LIMS = """
[[store]]
name = "lims"
kind = "database"
url = "sqlite:///ROOT/lims.sqlite3"
query = "SELECT * FROM measurement"
watermark = "updated_at"
key = "id"
profile = "ROOT/long.toml"
"""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def with_lims(home: "Home") -> "Home":
    rows = list(measurements.compounds(range(1, 3)))
    measurements.database(home.root / "lims.sqlite3", rows)
    (home.root / "long.toml").write_text(measurements.LONG_PROFILE)
    with home.config.open("a") as config:
        config.write(_LIMS.replace("ROOT", str(home.root)))
    return home


def _batches(home: "Home") -> int:
    return len(list((home.paths.spool / "lims").glob("*.ndjson")))


def test_a_database_is_read_once_and_only_what_is_new(with_lims: "Home") -> None:
    with_lims.said("reader", "lims", "--once")
    assert _batches(with_lims) == 1
    with_lims.said("reader", "lims", "--once")
    assert _batches(with_lims) == 1
    with sqlite3.connect(with_lims.root / "lims.sqlite3") as connection:
        connection.execute(
            "INSERT INTO measurement VALUES ('new', 'c', 'CCO', 'logBB', '1', '2026-02-01')"
        )
    connection.close()
    with_lims.said("reader", "lims", "--once")
    assert _batches(with_lims) == 2


@pytest.mark.parametrize("name", ["nobody", "files"])
def test_a_reader_needs_a_database(with_lims: "Home", name: str) -> None:
    error = with_lims.error("reader", name, "--once")
    assert isinstance(error, Stop)
    assert name in str(error)


def test_run_starts_every_service_and_a_reader_per_database(
    with_lims: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    started: Services = {}

    def supervise(services: Mapping[str, Sequence[str]], stop: Event) -> None:
        started.update(services)
        assert not stop.is_set()

    monkeypatch.setattr(supervisor, "supervise", supervise)
    with_lims.said("run")
    assert list(started) == ["keeper", "courier", "serve", "reader@lims"]
    config = ["--config", str(with_lims.config)]
    assert started["reader@lims"] == [*config, "reader", "lims", "--supervised"]
    assert started["keeper"] == [*config, "keeper", "--supervised"]


@pytest.mark.parametrize("service", ["keeper", "courier"])
def test_services_say_that_a_silo_is_not_enrolled(home: "Home", service: str) -> None:
    error = home.error(service)
    assert isinstance(error, Stop)
    assert "not enrolled" in str(error)


def test_nobody_but_the_keeper_starts_a_worker(home: "Home") -> None:
    assert isinstance(home.error("work", str(home.root), "--parent", "1"), TryLater)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_only_sets_the_event(number: signal.Signals) -> None:
    stop = stop_event(supervised=False)
    assert not stop.is_set()
    signal.raise_signal(number)
    assert stop.is_set()
