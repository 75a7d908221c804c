from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.backup.unwind import unwind
from agent.keeper.timekeeping import latest_time
from agent.ledger.book import Ledger
from agent.ledger.states import Kind

_MADE = datetime(2026, 6, 1, tzinfo=UTC)
_NOW = _MADE + timedelta(days=30)


def _state(ledger: Ledger, kind: Kind, item_id: str) -> str:
    item = ledger.get(kind, item_id)
    return item.state if item else ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        ledger.raise_floor("roster", 7)
        ledger.raise_floor("release", 3)
        ledger.put_document("roster", "current", b"old", _MADE)
        ledger.add("update", "u", "sealed", _MADE, {})
        ledger.add("update", "done", "acknowledged", _MADE, {})
        ledger.add("round", "r", "announced", _MADE, {})
        ledger.add("job", "j", "started", _MADE, {})
        ledger.add("snapshot", "s", "scored", _MADE, {})
        ledger.add("file", "f", "ingested", _MADE, {})
        ledger.add("statement", "root", "acknowledged", _MADE, {"kind": "egress_root", "size": 2})
        unwind(ledger, _MADE, _NOW)
    return tmp_path / "ledger.sqlite3"


def test_no_floor_sinks_and_the_time_is_the_present(path: Path) -> None:
    with Ledger(path) as ledger:
        assert (ledger.floor("roster"), ledger.floor("release")) == (7, 3)
        assert latest_time(ledger, _MADE) == _NOW  # an old state is no longer good
        assert ledger.floor("restored") == 1


def test_nothing_that_was_under_way_goes_on(path: Path) -> None:
    with Ledger(path) as ledger:
        found = [_state(ledger, k, i) for k, i in (("update", "u"), ("round", "r"), ("job", "j"))]  # type: ignore[arg-type]
        assert found == ["expired", "skipped", "failed"]
        assert _state(ledger, "update", "done") == "acknowledged"
        assert _state(ledger, "file", "f") == "ingested"
        assert _state(ledger, "snapshot", "s") == ""
        item = ledger.get("update", "u")
        assert item is not None
        assert "2026-06-01" in item.why


def test_the_next_root_covers_all_and_goes_on_from_none(path: Path) -> None:
    from agent.keeper.statements import roots

    with Ledger(path) as ledger:
        assert roots(ledger) == []
        assert _state(ledger, "statement", "root") == "acknowledged"  # it stays on record
        assert ledger.document("roster", "current") is None
