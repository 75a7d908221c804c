import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.files import sha256_file
from agent.keeper.orders import FileOrder
from agent.keeper.work.ingest import ingest
from agent.stores.profile import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.keeper.orders import FileResult, IngestOrder
    from tests.unit.keeper.work.conftest import Bench


def _read(bench: "Bench", order: "IngestOrder") -> "list[FileResult]":
    return list(ingest(order, bench.folder("job"), bench.report).files)


def test_each_file_becomes_a_part_or_is_refused_by_itself(bench: "Bench") -> None:
    good, empty = bench.table(), bench.root / "empty.csv"
    empty.write_bytes(b"")
    one, two = _read(bench, bench.ingest_order(empty, good))
    assert (one.code, one.part) == ("empty_file", "")
    assert one.refused
    assert (two.read, two.used, two.refused) == (98, 98, "")
    assert [p.name for p in (bench.root / "job" / "parts").iterdir()] == [two.part]
    assert bench.reports


def test_the_same_content_under_two_names_is_one_part(bench: "Bench") -> None:
    good = bench.table()
    other = bench.root / "b.csv"
    other.write_bytes(good.read_bytes())
    one, two = _read(bench, bench.ingest_order(good, other))
    assert one.part == two.part
    assert one.item != two.item


def test_content_that_is_known_is_not_read_again(bench: "Bench") -> None:
    order = bench.ingest_order(bench.table())
    (first,) = _read(bench, order)
    staged, parts = bench.root / "job" / "parts", Path(order.parts)
    parts.mkdir(exist_ok=True)
    shutil.move(staged / first.part, parts / first.part)
    assert _read(bench, order) == [first]
    assert not list(staged.iterdir())
    other = order.model_copy(update={"private": ()})  # means something else now
    assert _read(bench, other)[0].part != first.part
    (parts / first.part / "summary.json").write_text("{")
    assert _read(bench, order) == [first]
    assert (staged / first.part).exists()


def test_another_catalogue_makes_another_part(bench: "Bench") -> None:
    order = bench.ingest_order(bench.table())
    (before,) = _read(bench, order)
    (after,) = _read(bench, order.model_copy(update={"private": ()}))
    assert before.sha256 == after.sha256
    assert before.part != after.part
    assert (after.used, after.set_aside) == (49, 49)


def test_a_file_that_changed_meanwhile(bench: "Bench") -> None:
    good = bench.table()
    order = bench.ingest_order(good)
    good.write_text(good.read_text() + "\nlast,CCO,1,1")
    (result,) = _read(bench, order)
    assert result.changed
    good.write_text("ID,SMI")  # refused half written
    assert _read(bench, order)[0].changed


def test_a_file_that_went_away_or_is_a_folder(bench: "Bench") -> None:
    gone = bench.root / "gone.csv"
    (result,) = _read(bench, bench.ingest_order(gone))
    assert result.code == "gone"
    folder = bench.folder("folder.csv")
    order = bench.ingest_order(gone).model_copy(
        update={"files": (FileOrder(item="f", path=str(folder), size=1, mtime_ns=1),)}
    )
    (result,) = _read(bench, order)
    assert result.code == "unreadable_file"
    assert "cannot be read" in result.refused


def test_a_wrong_profile_is_named(bench: "Bench") -> None:
    with pytest.raises(Refused, match="cannot be read") as refused:
        _read(bench, bench.ingest_order(bench.table(), profile=str(bench.root / "none.toml")))
    assert refused.value.code == "bad_profile"


def test_the_standard_format_needs_no_profile(bench: "Bench") -> None:
    path = bench.root / "k.csv"
    path.write_text(
        "Chemical ID,SMILES_Structure_Parent,Test_Type,Measurement_Value\nx,CCO,logBB,0.5\n"
    )
    order = bench.ingest_order(path, reader="kmelloddy").model_copy(update={"profile": ""})
    assert _read(bench, order)[0].used == 1


def test_structures_are_kept_for_the_next_time(bench: "Bench") -> None:
    path = bench.root / "identities.sqlite3"
    order = bench.ingest_order(bench.table()).model_copy(update={"identities": str(path)})
    (first,) = _read(bench, order)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT COUNT(*) FROM identity").fetchone() == (49,)
        with database:  # what is kept is believed, or this would find nothing
            database.execute("UPDATE identity SET step = 'metal', cause = 'From the cache.'")
    shutil.rmtree(bench.root / "job" / "parts")
    (second,) = _read(bench, order)
    assert (first.used, second.used, second.set_aside) == (98, 0, 98)


def _failing(number: int) -> "Callable[..., object]":
    def fail(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_what_cannot_be_kept_is_not_the_files_fault(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    order = bench.ingest_order(bench.table())
    with monkeypatch.context() as patch:
        patch.setattr("agent.keeper.work.ingest.write_part_in_batches", _failing(number))
        (result,) = _read(bench, order)
    assert (result.code, result.part) == ("passing_fault", "")
    assert result.refused.startswith("The file is well")
    assert os.strerror(number) in result.refused
    assert _read(bench, order)[0].used == 98


def test_a_full_disk_as_polars_tells_it(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.assays.parts.MEASUREMENTS", "/dev/full")
    (result,) = _read(bench, bench.ingest_order(bench.table()))
    assert result.code == "passing_fault"
    assert "Free space" in result.refused


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
@pytest.mark.parametrize("place", ["agent.keeper.work.ingest.sha256_file", "pathlib.Path.open"])
def test_a_share_that_fails_for_a_while(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch, number: int, place: str
) -> None:
    """Also where a reader has given it the final name of a file that nobody can read."""
    order = bench.ingest_order(bench.table())
    sha256 = sha256_file(Path(order.files[0].path))
    profile = load_profile(Path(order.profile))
    monkeypatch.setattr("agent.keeper.work.ingest._profile", lambda _: profile)
    monkeypatch.setattr("agent.keeper.work.ingest.sha256_file", lambda _: sha256)
    monkeypatch.setattr(place, _failing(number))
    (result,) = _read(bench, order)
    assert result.code == "passing_fault"
    assert "read again by itself" in result.refused


def test_a_long_file_is_told_of_as_it_is_read(bench: "Bench") -> None:
    path = bench.root / "long.csv"
    path.write_text("ID,SMILES,sol,own\n" + "".join(f"c{n},CCO,{n},1\n" for n in range(2000)))
    _read(bench, bench.ingest_order(path))
    assert len(bench.reports) > 3
