import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.assays import reference
from agent.assays.lookup import Reference
from agent.assays.reference import FORMAT, Fingerprints, write_reference
from agent.errors import Refused
from agent.releases import shelf
from tests.kit.references import contents


def _tables(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: database.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0]  # noqa: S608
            for (name,) in names
        }


def test_the_number_of_the_format_is_that_of_the_shelf() -> None:
    assert FORMAT == shelf.FORMAT


def test_it_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "_BATCH", 2)
    assert list(write_reference(tmp_path / "r", contents(), "values")) == [2, 4, 5, 5]


def test_similarity_alone_holds_no_structure_and_no_value(tmp_path: Path) -> None:
    path = tmp_path / "r"
    list(write_reference(path, contents(), "similarity"))
    rows = _tables(path)
    assert (rows["compound"], rows["measured"], rows["endpoint"]) == (0, 0, 0)
    assert rows["fingerprint"] == 1
    content = path.read_bytes()
    assert b"CN1C=NC2" not in content
    assert b"solubility" not in content
    opened = Reference(path)
    assert not opened.shares_values
    opened.close()


def test_equal_contents_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        list(write_reference(tmp_path / name, contents(), "values"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_is_left_beside_it(tmp_path: Path) -> None:
    list(write_reference(tmp_path / "r", contents(), "values"))
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="reference_not_written"):
        list(write_reference(tmp_path / "nowhere" / "r", contents(), "values"))


def test_a_compound_without_a_fingerprint_keeps_its_values(tmp_path: Path) -> None:
    whole = contents()
    keys = whole.keys
    rows = whole.fingerprints
    none = Fingerprints(
        np.concatenate([rows.indptr[:1], rows.indptr[1:] * 0 + rows.indptr[1]]),
        rows.indices[: rows.indptr[1]],
        rows.counts[: rows.indptr[1]],
    )
    path = tmp_path / "r"
    list(write_reference(path, replace(whole, fingerprints=none), "values"))
    opened = Reference(path)
    assert all(opened.measured(key) for key in keys)
    counts = (none.indices, none.counts)
    assert [one.similarity for one in opened.neighbours(counts, 10)] == [1.0]
    opened.close()
