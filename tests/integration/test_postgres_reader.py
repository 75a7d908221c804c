"""The SQL reader against a real PostgreSQL server."""
# ruff: noqa: S608 - the statements are the test's own

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent.errors import Stop, TryLater
from agent.files import write_atomic
from agent.stores import database
from agent.stores.database import Source, read_batches
from agent.stores.spool import read_batch
from tests.kit.postgres import PASSWORD, Postgres, server

TABLE = """
CREATE TABLE assay (
  id bigint PRIMARY KEY, updated_at timestamptz, smiles text, value numeric(12, 4), flag boolean)
"""
DAY = "2026-01-01 09:00:00.123456+09"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with server() as running:
        yield running


class Lims:
    """A fresh table with a reader's login, a spool and a state."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.postgres, self.spool, self.state = postgres, folder / "spool", folder / "state.json"
        self.spool.mkdir()
        credentials = folder / "credentials"  # as systemd's $CREDENTIALS_DIRECTORY
        credentials.mkdir()
        password = credentials / "lims"
        password.write_text(f"{PASSWORD}\n")
        url = postgres.url.set(drivername="postgresql").render_as_string()
        query = "SELECT * FROM assay;"
        self.source = Source(url, query, "updated_at", "id", password_file=password, store="lims")
        self.run("DROP TABLE IF EXISTS assay CASCADE", TABLE)

    def run(self, *statements: str) -> list[Any]:
        return self.postgres.run(*statements)

    def add(self, first: int, last: int, at: str = DAY) -> None:
        self.run(
            f"INSERT INTO assay SELECT n, '{at}', 'CCO', n / 8.0, n % 2 = 0 "
            f"FROM generate_series({first}, {last}) AS n"
        )

    def read(self, batch_rows: int = 10) -> int:
        return read_batches(self.source, self.spool, self.state, batch_rows)

    def rows(self) -> list[list[Any]]:
        lines = [path.read_text().splitlines()[1:] for path in sorted(self.spool.iterdir())]
        return [json.loads(line) for batch in lines for line in batch]

    def ids(self) -> list[int]:
        return [row[0] for row in self.rows()]


@pytest.fixture
def lims(postgres: Postgres, tmp_path: Path) -> Lims:
    return Lims(postgres, tmp_path)


def test_batches_are_bounded_and_nothing_comes_twice(lims: Lims) -> None:
    lims.add(1, 25)
    assert lims.read() == 25
    sizes = [len(path.read_text().splitlines()) - 1 for path in sorted(lims.spool.iterdir())]
    assert sizes == [10, 10, 5]
    assert lims.ids() == list(range(1, 26))
    assert lims.read() == 0


def test_types_arrive_as_a_person_would_write_them(lims: Lims) -> None:
    lims.run(
        f"INSERT INTO assay VALUES (1, '{DAY}', '', 0.1000, true)",
        f"INSERT INTO assay VALUES (2, '{DAY}', NULL, NULL, NULL)",
        f"INSERT INTO assay VALUES (3, '{DAY}', E'a\\n물질\"', 'NaN', false)",
    )
    lims.read()
    day, empty, odd = lims.rows()
    assert day[1] == "2026-01-01T00:00:00.123456+00:00"
    assert day[2:] == ["", "0.1000", True]
    assert empty[2:] == [None, None, None]
    assert odd[2:] == ['a\n물질"', "NaN", False]
    (batch,) = lims.spool.iterdir()
    assert len([row for table in read_batch(batch) for row in table.rows]) == 3


def test_late_rows_with_an_equal_watermark_are_read_across_pages(lims: Lims) -> None:
    lims.add(100, 140)
    assert lims.read() == 41
    lims.add(1, 2)
    lims.add(120_000, 120_001)
    lims.add(50, 65)
    assert lims.read() == 20
    assert sorted(lims.ids()) == [1, 2, *range(50, 66), *range(100, 141), 120_000, 120_001]
    assert lims.read() == 0


@pytest.mark.parametrize("column", ["timestamptz", "timestamp"])
def test_a_row_that_is_committed_late_is_read_by_the_next_pass(lims: Lims, column: str) -> None:
    lims.run(f"ALTER TABLE assay ALTER updated_at TYPE {column}")
    insert = "INSERT INTO assay VALUES ({}, now(), 'CCO', 1, true)"
    engine = sa.create_engine(lims.postgres.url.set(password=PASSWORD), poolclass=sa.NullPool)
    with engine.connect() as slow:
        slow.exec_driver_sql(insert.format(1))  # `now()` is when its transaction began
        lims.run(insert.format(2))
        assert lims.read() == 1
        slow.commit()
    assert lims.read() == 1
    assert lims.ids() == [2, 1]
    assert lims.read() == 0


def test_an_updated_row_comes_again(lims: Lims) -> None:
    lims.add(1, 3)
    lims.read()
    lims.run("UPDATE assay SET value = 9, updated_at = '2026-02-01 00:00Z' WHERE id = 2")
    assert lims.read() == 1
    assert lims.ids() == [1, 2, 3, 2]
    assert lims.rows()[-1][3] == "9.0000"


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("numeric", ("1.5", "2.25")),
        ("bigint", ("3000000000", "3000000001")),
        ("date", ("'2026-01-01'", "'2026-01-02'")),
        ("timestamp", ("'2026-01-01 00:00:00.000001'", "'2026-01-01 00:00:00.000002'")),
    ],
)
def test_watermarks_of_every_type_with_keys_of_uuid(
    lims: Lims, column: str, values: tuple[str, str]
) -> None:
    lims.run(f"DROP TABLE assay; CREATE TABLE assay (id uuid, updated_at {column})")
    add = "INSERT INTO assay VALUES (gen_random_uuid(), {})"
    lims.run(*[add.format(values[0])] * 3)
    assert lims.read(2) == 3
    lims.run(add.format(values[0]), add.format(values[1]))
    assert lims.read(2) == 2
    assert lims.read(2) == 0
    assert len(set(map(str, lims.ids()))) == 5


def test_a_query_with_casts_colons_and_percents(lims: Lims) -> None:
    lims.add(1, 3)
    query = "SELECT id, updated_at, value::text || ':x' AS v FROM assay WHERE smiles LIKE 'C%'"
    lims.source = replace(lims.source, query=query)
    assert lims.read() == 3
    assert lims.rows()[0][2] == "0.1250:x"


def test_a_connection_that_is_ended_between_batches_resumes_at_the_watermark(
    lims: Lims, monkeypatch: pytest.MonkeyPatch
) -> None:
    lims.add(1, 55)
    written = 0

    def write_and_end(path: Path, content: bytes) -> None:
        nonlocal written
        write_atomic(path, content)
        written += 1
        if written == 2:
            lims.postgres.end_others()

    with monkeypatch.context() as patch:  # only the moment is ours; the server ends it
        patch.setattr(database, "write_atomic", write_and_end)
        with pytest.raises(TryLater):
            lims.read()
    assert lims.ids() == list(range(1, 21))
    lims.add(56, 60)
    assert lims.read() == 40
    assert lims.ids() == list(range(1, 61))


def test_what_a_broken_socket_leaves_is_not_tidied_up(
    lims: Lims, monkeypatch: pytest.MonkeyPatch
) -> None:
    lims.add(1, 15)

    def end_and_break(_path: Path, _content: bytes) -> None:
        lims.postgres.end_others()
        raise ConnectionResetError  # as pg8000 lets it pass

    with monkeypatch.context() as patch:
        patch.setattr(database, "write_atomic", end_and_break)
        with pytest.raises(TryLater, match="broke"):
            lims.read()
    assert lims.read() == 15


def test_a_connection_that_is_ended_within_a_query_is_tried_again(lims: Lims) -> None:
    lims.add(1, 5)
    plain = lims.source
    lims.source = replace(plain, query="SELECT assay.* FROM assay, pg_sleep(600)")

    def end() -> None:
        while not lims.run("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
            time.sleep(0.02)
        lims.postgres.end_others()

    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(TryLater):
        lims.read()
    thread.join()
    assert not lims.rows()
    lims.source = plain
    assert lims.read() == 5


def test_a_query_that_writes_is_refused_by_the_server(lims: Lims) -> None:
    lims.add(1, 2)
    lims.run(
        "CREATE OR REPLACE FUNCTION wipe() RETURNS boolean LANGUAGE plpgsql AS "
        "$$ BEGIN DELETE FROM assay; RETURN true; END $$"
    )
    lims.source = replace(lims.source, query="SELECT assay.* FROM assay WHERE wipe()")
    with pytest.raises(Stop, match="only reads"):
        lims.read()
    assert lims.run("SELECT count(*) FROM assay") == [(2,)]


def test_no_transaction_is_held_while_a_batch_is_written(
    lims: Lims, monkeypatch: pytest.MonkeyPatch
) -> None:
    lims.add(1, 25)
    states: list[Any] = []

    def write_and_look(path: Path, content: bytes) -> None:
        write_atomic(path, content)
        states.extend(
            lims.run(
                "SELECT state FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )

    monkeypatch.setattr(database, "write_atomic", write_and_look)
    lims.read()
    assert states == [("idle",)] * 3


def test_faults_are_named_without_quoting_data(lims: Lims) -> None:
    lims.add(1, 1)
    assert lims.source.password_file is not None
    faults = {
        "SELECT * FROM nowhere": "42P01",
        "SELEKT 1": "42601",
        "SELECT *, smiles::integer AS x FROM assay": "22P02",
        "SELECT id FROM assay": "42703",
    }
    for query, state in faults.items():
        broken = replace(lims.source, query=query)
        with pytest.raises(Stop, match=state) as caught:
            read_batches(broken, lims.spool, lims.state)
        assert "CCO" not in str(caught.value)
    lims.source.password_file.write_text("wrong")
    with pytest.raises(Stop, match="login"):
        lims.read()


def test_a_server_that_is_away_is_a_reason_to_come_back(lims: Lims) -> None:
    away = lims.postgres.url.set(port=1, drivername="postgresql").render_as_string()
    lims.source = replace(lims.source, url=away)
    with pytest.raises(TryLater):
        lims.read()


def test_the_reader_stays_small(lims: Lims) -> None:
    code = (
        "import sys, agent.stores.reader, pg8000\n"
        "heavy = {'rdkit', 'polars', 'numpy', 'torch', 'python_calamine'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
