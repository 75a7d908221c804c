"""The SQL reader against a real SQLite database."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Stop, TryLater
from agent.files import write_atomic
from agent.stores import database
from agent.stores.database import Source, read_batches
from agent.stores.watermark import State

Row = tuple[int, str, str, float | None]


class Lims:
    """A small database with a spool and a state beside it."""

    def __init__(self, folder: Path) -> None:
        self.file, self.spool, self.state = folder / "l.db", folder / "spool", folder / "s.json"
        self.spool.mkdir()
        self.source = Source(
            f"sqlite:///{self.file}", "SELECT * FROM assay;", "updated_at", "id", store="lims"
        )
        self._run("CREATE TABLE assay (id INTEGER, updated_at TEXT, smiles TEXT, value REAL)")

    def _run(self, sql: str, rows: list[Row] | None = None) -> None:
        connection = sqlite3.connect(self.file)
        with connection:
            connection.executemany(sql, rows) if rows else connection.execute(sql)
        connection.close()

    def add(self, *ids: int, day: str = "2026-01-01") -> None:
        rows: list[Row] = [(number, day, "C:C", 1.5) for number in ids]
        self._run("INSERT INTO assay VALUES (?, ?, ?, ?)", rows)

    def read(self, batch_rows: int = 3) -> int:
        return read_batches(self.source, self.spool, self.state, batch_rows)

    def spooled(self) -> list[int]:
        lines = [path.read_text().splitlines() for path in sorted(self.spool.iterdir())]
        return [json.loads(line)[0] for batch in lines for line in batch[1:]]


@pytest.fixture
def lims(tmp_path: Path) -> Lims:
    return Lims(tmp_path)


def test_rows_come_once_in_bounded_batches(lims: Lims) -> None:
    lims.add(*range(1, 8))
    assert lims.read() == 7
    assert lims.spooled() == [1, 2, 3, 4, 5, 6, 7]
    assert len(list(lims.spool.iterdir())) == 3
    assert lims.read() == 0


def test_late_row_with_an_equal_watermark_is_read_and_nothing_twice(lims: Lims) -> None:
    lims.add(*range(10, 20))
    lims.read()
    lims.add(5, 25)  # one sorts before everything read, one behind
    assert lims.read() == 2
    assert sorted(lims.spooled()) == [5, *range(10, 20), 25]


def test_a_row_that_is_committed_late_is_read_by_the_next_pass(lims: Lims) -> None:
    slow, quick = (sqlite3.connect(lims.file) for _ in range(2))
    insert = "INSERT INTO assay VALUES (?, ?, 'C', 1)"
    written = (1, "2026-01-01 09:00:00.5+09:00")  # the slow one's clock, before the other writes
    with quick:
        quick.executemany(insert, [(n, f"2026-01-01 09:{n:02d}:00.25+09:00") for n in range(2, 9)])
    assert lims.read() == 7
    with slow:
        slow.execute(insert, written)
    assert lims.read() == 1
    assert lims.read() == 0
    assert lims.spooled() == [*range(2, 9), 1]
    slow.close()
    quick.close()


def test_a_row_older_than_the_overlap_is_not_looked_for(lims: Lims) -> None:
    lims.source = replace(lims.source, overlap_s=600.0)
    for minute in (0, 9, 30):
        lims.add(minute, day=f"2026-01-01T10:{minute:02d}:00")
    assert lims.read() == 3
    state = State.load(lims.state)
    assert (state.since, len(state.keys)) == ("2026-01-01T10:20", 1)
    lims.add(19, day="2026-01-01T10:19:00")
    lims.add(21, day="2026-01-01T10:21:00")
    assert lims.read() == 1
    lims.source = replace(lims.source, overlap_s=0.0)
    lims.add(40, day="2026-01-01T10:40:00")
    lims.add(22, day="2026-01-01T10:22:00")
    assert lims.read() == 2  # the window of the last pass; from now on there is none
    lims.add(39, day="2026-01-01T10:39:00")
    assert lims.read() == 0


def test_a_longer_overlap_reads_nothing_twice(lims: Lims) -> None:
    lims.source = replace(lims.source, overlap_s=0.0)
    lims.add(1, day="2026-01-01T10:00:00")
    lims.add(2, day="2026-01-01T10:30:00")
    assert lims.read() == 2
    lims.source = replace(lims.source, overlap_s=3600.0)
    assert lims.read() == 0
    lims.add(3, day="2026-01-01T10:40:00")
    assert lims.read() == 1
    assert lims.read() == 0
    lims.add(4, day="2026-01-01T10:35:00")
    assert lims.read() == 1


def test_what_comes_during_a_pass_is_for_the_next(
    lims: Lims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a pass of two hours would end with a window that begins after its own first rows."""

    def write_and_add(path: Path, content: bytes) -> None:
        write_atomic(path, content)
        lims.add(100, day="2026-01-01T15:00:00")  # hours later

    for number in range(1, 6):
        lims.add(number, day=f"2026-01-01T10:0{number}:00")
    with monkeypatch.context() as patch:
        patch.setattr(database, "write_atomic", write_and_add)
        assert lims.read(batch_rows=5) == 5
    lims.add(6, day="2026-01-01T10:00:30")  # committed late, after the pass had gone by
    assert lims.read() == 2
    assert lims.read() == 0


def test_state_and_batches_of_version_0_1_0_go_on(lims: Lims) -> None:
    lims.add(1, 2, 3)
    lims.read()
    old = {"sequence": 1, "watermark": ["", "2026-01-01"], "last_key": ["", 2]}
    old |= {"keys": [["", 1], ["", 2], ["", 3]], "columns": ["updated_at", "id"]}
    lims.state.write_text(json.dumps(old))
    lims.add(4)
    assert lims.read() == 1
    assert lims.read() == 0


@settings(max_examples=20, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 59)), max_size=20))
def test_nothing_is_missed_or_read_twice_whatever_the_order_of_commits(
    steps: list[tuple[int, int]],
) -> None:
    """Rows are written at a minute, and committed within an hour of it."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with TemporaryDirectory() as folder:
        lims = Lims(Path(folder))
        writes = [(minute, minute + late, n) for n, (minute, late) in enumerate(steps)]
        for minute, _, number in sorted(writes, key=lambda write: write[1]):
            lims.add(number, day=(start + timedelta(minutes=minute)).isoformat())
            lims.read()
        assert sorted(lims.spooled()) == list(range(len(steps)))
        assert lims.read() == 0


def test_corrected_row_comes_again(lims: Lims) -> None:
    lims.add(1, 2)
    lims.read()
    lims._run("UPDATE assay SET updated_at = '2026-02-02', value = 9 WHERE id = 1")
    assert lims.read() == 1
    assert lims.spooled() == [1, 2, 1]


def test_header_says_what_the_batch_is(lims: Lims) -> None:
    lims.add(1)
    lims.read()
    (batch,) = lims.spool.iterdir()
    header = json.loads(batch.read_text().splitlines()[0])
    assert header["columns"] == ["id", "updated_at", "smiles", "value"]
    assert (header["store"], header["sequence"]) == ("lims", 1)


def test_death_between_batch_and_watermark_duplicates_nothing(
    lims: Lims, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    lims.add(1, 2, 3, 4)
    with monkeypatch.context() as patch:
        patch.setattr(State, "save", die)
        with pytest.raises(KeyboardInterrupt):
            lims.read()
    assert not lims.state.exists()
    lims.add(0)  # what is new meanwhile must not end in a second batch with the same rows
    lims.read()
    assert sorted(lims.spooled()) == [0, 1, 2, 3, 4]


def test_a_bulk_load_with_one_watermark_is_taken_up_again_anywhere(
    lims: Lims, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die_at_the_sixth(path: Path, content: bytes) -> None:
        if path.name.startswith("0000000006"):
            raise KeyboardInterrupt
        write_atomic(path, content)

    lims.add(*range(1, 31))
    with monkeypatch.context() as patch:
        patch.setattr(database, "write_atomic", die_at_the_sixth)
        with pytest.raises(KeyboardInterrupt):
            lims.read()
    assert State.load(lims.state).sequence == 1  # the other four are only in the spool
    lims.add(0, 31)
    assert lims.read() == 17
    assert sorted(lims.spooled()) == list(range(32))
    assert {key for _, key in State.load(lims.state).keys} == set(range(32))
    assert lims.read() == 0
    sizes = {path.stat().st_size for path in lims.spool.iterdir() if path.name[9] != "1"}
    assert max(sizes) < 600  # a header names its own keys, not all that were seen


def test_death_before_the_batch_loses_nothing(lims: Lims, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    lims.add(1, 2)
    with monkeypatch.context() as patch:
        patch.setattr(database, "write_atomic", die)
        with pytest.raises(KeyboardInterrupt):
            lims.read()
    assert lims.read() == 2
    assert lims.spooled() == [1, 2]


def test_rows_without_a_watermark_are_told_of(lims: Lims, caplog: pytest.LogCaptureFixture) -> None:
    lims.add(1)
    lims._run("INSERT INTO assay VALUES (2, NULL, 'C', 1)")
    with caplog.at_level("WARNING"):
        assert lims.read() == 1
    assert "rows_without_watermark_or_key" in caplog.messages


def test_key_that_is_not_unique_stops(lims: Lims) -> None:
    lims.add(1, 1)
    with pytest.raises(Stop, match="unique"):
        lims.read()


def test_changed_columns_stop(lims: Lims) -> None:
    lims.add(1)
    lims.read()
    lims.source = Source(lims.source.url, lims.source.query, "id", "id")
    with pytest.raises(Stop, match="changed"):
        lims.read()


def _with(
    url: str = "", query: str = "SELECT * FROM assay", mark: str = "updated_at"
) -> Callable[[Source], Source]:
    return lambda source: Source(url or source.url, query, mark, "id")


@pytest.mark.parametrize(
    "change",
    [
        _with(query="SELECT * FROM nowhere"),
        _with(query="SELEKT 1"),
        _with(url="nonsense"),
        _with(url="nosuchdb://host/db"),
        _with(url="postgresql://me:secret@host/db"),
        _with(query="DELETE FROM assay RETURNING *"),
    ],
)
def test_what_a_person_must_mend_stops(lims: Lims, change: Callable[[Source], Source]) -> None:
    lims.add(1)
    lims.source = change(lims.source)
    with pytest.raises(Stop) as caught:
        lims.read()
    assert "secret" not in str(caught.value)


def test_absent_database_is_a_reason_to_come_back_and_is_not_made(lims: Lims) -> None:
    lims.file.unlink()
    with pytest.raises(TryLater, match="not there"):
        lims.read()
    assert not lims.file.exists()


def test_password_comes_from_its_file(lims: Lims, tmp_path: Path) -> None:
    password = tmp_path / "password"
    lims.source = Source(lims.source.url, "SELECT 1", "a", "b", password_file=password)
    with pytest.raises(Stop, match="password file"):
        lims.read()
