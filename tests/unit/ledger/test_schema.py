import sqlite3

import pytest

from agent.ledger import schema


def _tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {str(row[0]) for row in rows}


def test_an_empty_file_becomes_a_ledger_once() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    assert schema.migrate(connection) == 0
    assert {"item", "transition", "document", "floor", "egress", "score"} <= _tables(connection)
    assert schema.migrate(connection) == schema.VERSION  # nothing left to do
    connection.close()


def test_an_older_file_takes_only_the_steps_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)
    connection.execute("INSERT INTO floor VALUES ('release', 7)")
    step = "ALTER TABLE floor ADD COLUMN why TEXT NOT NULL DEFAULT '';"
    monkeypatch.setattr(schema, "_MIGRATIONS", (*schema._MIGRATIONS, step))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    assert schema.migrate(connection) == schema.VERSION - 1
    assert connection.execute("SELECT name, value, why FROM floor").fetchall() == [
        ("release", 7, "")
    ]
    assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
    connection.close()


def test_a_newer_file_is_left_alone() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"PRAGMA user_version = {schema.VERSION + 3}")
    assert schema.migrate(connection) == schema.VERSION + 3
    assert not _tables(connection)
    connection.close()
