import json
import os
import sqlite3
import subprocess
import sys
import tracemalloc
from pathlib import Path
from queue import SimpleQueue

import pytest

from agent.errors import Refused, TryLater
from agent.files import sha256_file
from agent.stores.profile import KMELLODDY
from agent.stores.readers import read
from agent.stores.watch import FolderWatch, sweep


def test_file_is_stable_only_after_it_rested(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "a.csv"
    file.parent.mkdir()
    file.write_text("1")
    first = sweep(tmp_path, {}, 0.0, 5.0)
    assert [entry.path for entry in first.waiting] == ["sub/a.csv"]
    early = sweep(tmp_path, first.seen(), 4.9, 5.0)
    assert not early.stable
    late = sweep(tmp_path, early.seen(), 5.0, 5.0)
    assert [entry.path for entry in late.stable] == ["sub/a.csv"]


def test_growing_file_starts_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("1")
    first = sweep(tmp_path, {}, 0.0, 5.0)
    file.write_text("12")
    second = sweep(tmp_path, first.seen(), 10.0, 5.0)
    assert not second.stable
    assert second.waiting[0].first_seen_s == 10.0


def test_one_look_is_never_enough(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    assert not sweep(tmp_path, {}, 0.0, 0.0).stable


def test_temporary_and_foreign_names_are_passed_by(tmp_path: Path) -> None:
    for name in (".a.csv", "~$a.xlsx", "a.csv.part", "a.CSV", "notes.pdf"):
        (tmp_path / name).write_text("1")
    found = sweep(tmp_path, {}, 0.0, 0.0, patterns=("*.csv", "*.xlsx"))
    assert [entry.path for entry in found.waiting] == ["a.CSV"]


def test_links_that_leave_the_store_are_refused(tmp_path: Path) -> None:
    store, outside = tmp_path / "store", tmp_path / "outside"
    store.mkdir()
    outside.mkdir()
    (outside / "x.csv").write_text("1")
    (store / "real.csv").write_text("1")
    (store / "inside.csv").symlink_to(store / "real.csv")
    (store / "file.csv").symlink_to(outside / "x.csv")
    (store / "folder").symlink_to(outside)
    (store / "near").symlink_to(store)
    found = sweep(store, {}, 0.0, 0.0)
    assert [entry.path for entry in found.waiting] == ["inside.csv", "real.csv"]
    assert [name for name, _ in found.refused] == ["file.csv", "folder", "near"]


def test_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    assert [name for name, _ in sweep(tmp_path, {}, 0.0, 0.0).refused] == ["a.csv"]


def test_dangling_link_inside_is_passed_by(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "nothing")
    found = sweep(tmp_path, {}, 0.0, 0.0)
    assert not found.seen()
    assert not found.refused


def test_vanished_folder_is_a_reason_to_come_back(tmp_path: Path) -> None:
    with pytest.raises(TryLater, match="gone"):
        sweep(tmp_path / "gone", {}, 0.0, 0.0)


def test_change_posts_the_stores_name(tmp_path: Path) -> None:
    queue: SimpleQueue[str] = SimpleQueue()
    watch = FolderWatch({"lab": tmp_path}, queue)
    assert watch.start() == []
    try:
        (tmp_path / "a.csv").write_text("1")
        assert queue.get(timeout=60) == "lab"
    finally:
        watch.stop()


def test_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    queue: SimpleQueue[str] = SimpleQueue()
    watch = FolderWatch({"gone": tmp_path / "gone", "lab": tmp_path}, queue)
    assert watch.start() == ["gone"]
    try:
        (tmp_path / "a.csv").write_text("1")
        assert queue.get(timeout=60) == "lab"
    finally:
        watch.stop()


def test_a_shared_folder_is_left_to_the_sweep(tmp_path: Path) -> None:
    local, shared = tmp_path / "local", tmp_path / "shared"
    local.mkdir()
    shared.mkdir()
    queue: SimpleQueue[str] = SimpleQueue()
    folders = {"nas": shared, "lab": local}
    watch = FolderWatch(folders, queue, polled=lambda folder: folder == shared)
    assert watch.start() == ["nas"]
    try:
        (shared / "a.csv").write_text("1")
        (local / "b.csv").write_text("1")
        assert queue.get(timeout=60) == "lab"
    finally:
        watch.stop()
    assert [entry.path for entry in sweep(shared, {}, 0.0, 0.0).waiting] == ["a.csv"]


def test_a_subfolder_that_is_renamed_is_read_under_its_new_name(tmp_path: Path) -> None:
    (tmp_path / "old" / "deep").mkdir(parents=True)
    (tmp_path / "old" / "deep" / "a.csv").write_text("1")
    seen = sweep(tmp_path, {}, 0.0, 1.0).seen()
    (tmp_path / "old").rename(tmp_path / "new")
    moved = sweep(tmp_path, seen, 2.0, 1.0)
    assert [entry.path for entry in moved.waiting] == ["new/deep/a.csv"]
    assert [entry.path for entry in sweep(tmp_path, moved.seen(), 3.0, 1.0).stable] == [
        "new/deep/a.csv"
    ]


def test_a_link_through_a_linked_folder_or_to_a_file_above_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (tmp_path / "store-other").mkdir()  # a name that begins with the store's own
    (tmp_path / "store-other" / "x.csv").write_text("1")
    (store / "near.csv").symlink_to("../store-other/x.csv")
    (store / "loop.csv").symlink_to("loop.csv")
    found = sweep(store, {}, 0.0, 0.0)
    assert [name for name, _ in found.refused] == ["near.csv"]
    assert not found.seen()


STRANGE = ("a\nb.csv", "..csv", "-rf.csv", "$(id).csv", "물질 µ.csv", "a'b\".csv", "C:\\x\\y.csv")


def test_strange_names_are_read_and_can_be_kept(tmp_path: Path) -> None:
    for name in (*STRANGE, "..\\..\\etc.csv"):
        (tmp_path / name).write_text("1")
    found = sweep(tmp_path, {}, 0.0, 0.0, patterns=("*.csv",))
    names = sorted(entry.path for entry in found.waiting)
    assert names == sorted({*STRANGE, "..\\..\\etc.csv"} - {"..csv", "..\\..\\etc.csv"})
    assert not found.refused
    connection = sqlite3.connect(":memory:")
    assert [connection.execute("SELECT ?", (name,)).fetchone()[0] for name in names] == names
    connection.close()
    assert json.loads(json.dumps(names).encode()) == names


def test_names_that_are_not_utf8_are_refused_and_can_be_shown(tmp_path: Path) -> None:
    for name in ("물질.csv", "결과.csv"):
        path = os.fsencode(tmp_path) + b"/" + name.encode("cp949")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    (tmp_path / "ok.csv").write_text("1")
    found = sweep(tmp_path, {}, 0.0, 0.0, patterns=("*.csv",))
    assert [entry.path for entry in found.waiting] == ["ok.csv"]
    assert len({name for name, _ in found.refused}) == 2
    for name, reason in found.refused:
        assert name.encode().endswith(b".csv (not UTF-8)")
        assert "rename" in reason


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx", "a.sdf", "a.ndjson", "a.tsv"])
def test_a_file_of_2_gb_is_looked_at_and_refused_without_being_held(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    with path.open("wb") as handle:
        handle.write(b"SMILES,value\nCCO,1\n")
        handle.truncate(2 << 30)  # sparse: it takes no room on the disk
    (entry,) = sweep(tmp_path, {}, 0.0, 0.0).waiting
    assert entry.size == 2 << 30
    kinds = {".sdf": "sdf", ".ndjson": "spool", ".tsv": "table"}
    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            list(read(path, kinds.get(path.suffix, "kmelloddy"), KMELLODDY))  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.parametrize("name", ["a.csv", "a.sdf"])
def test_a_file_without_line_ends_is_refused_in_bounded_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as handle:
        handle.write(b"SMILES_Structure_Parent,Measurement_Value\n")
        for _ in range(96):
            handle.write(b"x" * (1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(Refused, match="characters"):
            list(read(path, "sdf" if name == "a.sdf" else "kmelloddy", KMELLODDY))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


@pytest.mark.slow
def test_a_file_of_2_gb_is_hashed_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as handle:
        handle.truncate(2 << 30)
    tracemalloc.start()
    try:
        sha256_file(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_the_keeper_can_watch_without_any_reader() -> None:
    code = (
        "import sys, agent.stores.watch, agent.stores.profile, agent.stores.kinds\n"
        "heavy = {'rdkit', 'polars', 'python_calamine', 'sqlalchemy', 'numpy'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
