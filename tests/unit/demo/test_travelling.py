"""The demo's silo without a connection, and the person who walks for it."""

import logging
from pathlib import Path

import pytest

from agent.config import load
from agent.demo.parties import Aggregator, ask
from agent.demo.silos import Silo, lay_out
from agent.demo.travelling import carry, travelling
from tests.kit.silo import Silo as KitSilo

_AT = "2026-06-01T00:00:00.000000Z"


def test_only_the_named_silo_goes_by_folder(tmp_path: Path) -> None:
    names = ("silo-a", "silo-b", "silo-c")
    silos = lay_out(
        tmp_path,
        {name: [] for name in names},
        [1, 2, 3],
        _AT,
        by_folder="silo-b",
    )
    carriers = [load(silo.config).exchange.carrier for silo in silos]
    assert carriers == ["https", "folder", "https"]


@pytest.mark.slow
def test_a_walk_goes_to_the_aggregator_and_back(tmp_path: Path) -> None:
    kit = KitSilo(tmp_path / "silo-a")
    aggregator = Aggregator(tmp_path / "aggregator", 1)
    ask("consortium", "init", str(aggregator.folder), "--consortium", "kit")
    carry(aggregator, Silo("silo-a", "Company", kit.root, kit.port))
    assert (kit.root / "stick" / "up" / "silo-a" / "request").is_file()


def test_nobody_walks_where_every_silo_is_connected(tmp_path: Path) -> None:
    with travelling(Aggregator(tmp_path, 1), []):
        pass


def test_a_trip_that_fails_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.demo.travelling._REST_S", 0.01)
    silo = Silo("silo-a", "Company", tmp_path, 1)  # it has no configuration yet
    with caplog.at_level(logging.WARNING), travelling(Aggregator(tmp_path, 1), [silo]):
        while not caplog.records:
            pass
    assert caplog.records[0].message == "trip_failed"
