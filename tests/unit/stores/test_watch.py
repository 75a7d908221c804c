import os
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue

import pytest

from agent.errors import TryLater
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


def test_the_keeper_can_watch_without_any_reader() -> None:
    code = (
        "import sys, agent.stores.watch, agent.stores.profile, agent.stores.kinds\n"
        "heavy = {'rdkit', 'polars', 'python_calamine', 'sqlalchemy', 'numpy'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
