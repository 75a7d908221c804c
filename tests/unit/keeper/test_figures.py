from typing import TYPE_CHECKING

from agent.keeper import status
from agent.keeper.figures import figures
from agent.metrics import render

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


def test_the_status_in_numbers(house: "House") -> None:
    house.ledger.add("file", "secret name.csv", "refused", house.now, {})
    report = {**status.report(house.ledger, "silo"), "job": None}
    text = render(figures(report, house.now)).decode()
    assert 'onggi_keeper_items{stage="files",state="refused"} 1' in text
    assert 'onggi_keeper_wrong{stage="files"} 1' in text
    assert "onggi_egress_bytes_total 0" in text
    assert "secret" not in text
    assert status.sentence(report) == "no job; files: 1 wrong"


def test_before_there_is_a_status() -> None:
    from datetime import UTC, datetime

    text = render(figures(None, datetime(2026, 6, 1, tzinfo=UTC))).decode()
    assert "onggi_keeper_seen_seconds 1780272000" in text
    assert status.sentence(None) == ""
