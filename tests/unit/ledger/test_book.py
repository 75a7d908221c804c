import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.errors import Refused, Stop
from agent.ledger.book import HIGHEST_FLOOR, Item, Ledger, Score
from agent.ledger.schema import VERSION

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as opened:
        yield opened


def _add(ledger: Ledger, item_id: str = "r1") -> Item:
    ledger.add("round", item_id, "announced", NOW, {"number": 1})
    item = ledger.get("round", item_id)
    assert item is not None
    return item


def test_what_is_added_is_there_once(ledger: Ledger) -> None:
    assert ledger.add("round", "r1", "announced", NOW, {"number": 1})
    assert not ledger.add("round", "r1", "announced", LATER, {"number": 9})
    item = ledger.get("round", "r1")
    assert item is not None
    assert (item.state, item.detail, item.number) == ("announced", {"number": 1}, 1)
    assert item.created == item.changed == "2026-03-01T00:00:00.000000Z"
    assert ledger.get("round", "r2") is None


def test_an_unknown_first_state_is_a_bug(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="no state 'sealed'"):
        ledger.add("round", "r1", "sealed", NOW, {})


def test_a_move_needs_the_state_as_it_was_read(ledger: Ledger) -> None:
    item = _add(ledger)
    assert ledger.move(item, "trained", LATER, "done", {"loss": 0.5})
    assert not ledger.move(item, "closed", LATER)  # somebody else was first
    moved = ledger.get("round", "r1")
    assert moved is not None
    assert (moved.state, moved.why, moved.detail) == ("trained", "done", {"number": 1, "loss": 0.5})
    assert moved.changed > moved.created
    assert ledger.last_transition("round") == (
        "2026-03-01T01:00:00.000000Z",
        "r1",
        "trained",
        "done",
    )


def test_a_move_against_the_rules_is_a_bug(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="may not go"):
        ledger.move(_add(ledger), "announced", NOW)


def test_explaining_moves_nothing(ledger: Ledger) -> None:
    item = _add(ledger)
    ledger.explain(item, "It waits.")
    explained = ledger.get("round", "r1")
    assert explained is not None
    assert (explained.state, explained.why) == ("announced", "It waits.")
    before = ledger.connection.total_changes
    ledger.explain(explained, "It waits.")
    assert ledger.connection.total_changes == before


def test_things_are_found_in_the_order_of_adding(ledger: Ledger) -> None:
    for name in ("z", "a", "m"):
        _add(ledger, name)
    first = ledger.find("round")[0]
    ledger.move(first, "closed", NOW)
    assert [item.id for item in ledger.find("round")] == ["z", "a", "m"]
    assert [item.id for item in ledger.find("round", "announced")] == ["a", "m"]
    assert [item.id for item in ledger.find("round", "announced", "closed")] == ["z", "a", "m"]
    assert ledger.counts("round") == {"announced": 2, "closed": 1}
    assert ledger.counts("release") == {}
    assert ledger.last_transition("release") is None


def test_the_newest_come_with_a_limit(ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        _add(ledger, name)
    assert {item.id for item in ledger.newest("round", ("announced",), 2)} == {"b", "c"}
    assert not ledger.newest("round", ("closed",), 2)


def test_the_last_moved_come_with_a_limit(ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        _add(ledger, name)
    item = ledger.get("round", "a")
    assert item is not None
    ledger.move(item, "closed", LATER)
    states = ("announced", "closed")
    assert [one.id for one in ledger.last_moved("round", states, 2)] == ["a", "c"]
    assert [one.id for one in ledger.last_moved("round", states[:1], 2)] == ["c", "b"]


def test_a_transaction_happens_as_a_whole_or_not_at_all(ledger: Ledger) -> None:
    def fail() -> None:
        with ledger.transaction():
            _add(ledger)
            with ledger.transaction():  # joins
                ledger.raise_floor("roster", 4)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert ledger.get("round", "r1") is None
    assert ledger.floor("roster") == 0
    with ledger.transaction():
        _add(ledger)
    assert ledger.get("round", "r1") is not None


def test_a_transaction_that_sqlite_rolled_back_keeps_its_own_error(ledger: Ledger) -> None:
    def full() -> None:
        _add(ledger)
        ledger.connection.execute("ROLLBACK")  # what SQLite does by itself on a full disk
        raise sqlite3.OperationalError("disk full")

    with pytest.raises(sqlite3.OperationalError, match="disk full"), ledger.transaction():
        full()
    assert ledger.get("round", "r1") is None


def test_a_failed_commit_leaves_no_transaction_open(ledger: Ledger) -> None:
    _add(ledger)
    ledger.connection.execute("PRAGMA foreign_keys = ON")
    ledger.connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    ledger.connection.execute(
        "CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
    )
    with pytest.raises(sqlite3.IntegrityError), ledger.transaction():
        ledger.connection.execute("INSERT INTO child VALUES (1)")
    assert not ledger.connection.in_transaction
    assert ledger.add("round", "r2", "announced", NOW, {})


def test_a_kill_inside_a_transaction_leaves_nothing_of_it(path: Path) -> None:
    ledger = Ledger(path)
    ledger.connection.execute("BEGIN IMMEDIATE")
    _add(ledger)
    ledger.connection.close()  # without a commit, as a kill would
    with Ledger(path) as again:
        assert again.get("round", "r1") is None


def test_documents_are_kept_as_received(ledger: Ledger) -> None:
    ledger.put_document("plan", "p2", b"\x00two", NOW)
    ledger.put_document("plan", "p1", b"one", LATER)
    ledger.put_document("plan", "p1", b"uno", LATER)
    assert ledger.document("plan", "p1") == b"uno"
    assert ledger.document("roster", "p1") is None
    assert ledger.documents("plan") == [("p2", b"\x00two"), ("p1", b"uno")]


def test_a_floor_never_sinks(ledger: Ledger) -> None:
    assert ledger.floor("release") == 0
    for value in (3, 1, 2):
        ledger.raise_floor("release", value)
    assert ledger.floor("release") == 3
    ledger.raise_floor("release", 5)
    assert (ledger.floor("release"), ledger.floor("roster")) == (5, 0)


def test_scores_are_kept_by_owner_and_snapshot(ledger: Ledger) -> None:
    ledger.put_scores("r1", "s1", [Score("b", "MAE", 0.5, 10, 2), Score("a", "MAE", None, 1, 0)])
    ledger.put_scores("r1", "s1", [Score("b", "MAE", 0.25, 10, 2)])
    assert ledger.scores("r1", "s1") == [
        Score("a", "MAE", None, 1, 0),
        Score("b", "MAE", 0.25, 10, 2),
    ]
    assert ledger.scores("r1", "s2") == []


def test_the_file_is_as_durable_as_sqlite_gets(ledger: Ledger) -> None:
    assert ledger.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ledger.connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "a #b?c%20d"
    folder.mkdir()
    with Ledger(folder / "ledger.sqlite3") as ledger:
        _add(ledger)
    assert (folder / "ledger.sqlite3").exists()
    with Ledger(folder / "ledger.sqlite3", read_only=True) as again:
        assert again.get("round", "r1") is not None


def test_reading_beside_a_running_keeper(ledger: Ledger, path: Path) -> None:
    _add(ledger)
    with Ledger(path, read_only=True) as reader:
        assert reader.get("round", "r1") is not None
        with pytest.raises(sqlite3.OperationalError):
            reader.raise_floor("roster", 1)


def test_reading_what_is_not_there(path: Path) -> None:
    with pytest.raises(Stop, match="no ledger"):
        Ledger(path, read_only=True)
    assert not path.exists()


def test_a_newer_programs_file_is_left_alone(path: Path) -> None:
    with Ledger(path) as ledger:
        _add(ledger)
        ledger.connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    for read_only in (False, True):
        with pytest.raises(Stop, match="newer Onggi"):
            Ledger(path, read_only=read_only)


def test_an_unfinished_file_is_not_read(path: Path) -> None:
    path.write_bytes(b"")  # made by SQLite, tables not there yet
    with pytest.raises(Stop, match="start the keeper"):
        Ledger(path, read_only=True)


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to look at" * 30)
    with pytest.raises(Stop, match=r"cannot be opened as a ledger.*restore it"):
        Ledger(path)


def test_a_ledger_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="cannot be opened"):
        Ledger(tmp_path / "none" / "ledger.sqlite3")


@pytest.mark.parametrize("value", [HIGHEST_FLOOR + 1, 2**63, 10**30])
def test_a_floor_that_would_shut_everything_out_is_refused(ledger: Ledger, value: int) -> None:
    with pytest.raises(Refused, match="version_too_large"):
        ledger.raise_floor("release", value)
    assert ledger.floor("release") == 0
    ledger.raise_floor("release", HIGHEST_FLOOR)
    assert ledger.floor("release") == HIGHEST_FLOOR


def test_only_the_clocks_floor_ever_sinks(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        ledger.raise_floor("clock", 10)
        ledger.lower_clock("clock", 5)
        assert ledger.floor("clock") == 5
        ledger.lower_clock("clock", 7)
        assert ledger.floor("clock") == 5
        ledger.raise_floor("release", 3)
        with pytest.raises(ValueError, match="never sinks"):
            ledger.lower_clock("release", 1)
