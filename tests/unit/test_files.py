"""Files that survive: all of it or nothing, whatever goes wrong."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent import files
from agent.errors import TryLater


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write_atomic(path, b"one", mode=0o600)
    files.write_atomic(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_failed_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write_atomic(path, b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    with pytest.raises(FileNotFoundError):
        files.write_atomic(tmp_path / "nowhere" / "a", b"x")


def test_what_a_kill_left_of_a_writing_goes(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from agent.files import write_atomic\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomic(Path(sys.argv[1]), b'secret')"
    )
    for name in ("own-1.bin", "other.bin"):
        (tmp_path / name).write_bytes(b"whole")
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=False)
        assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 4
    files.clear_drafts(tmp_path, "own-*.bin")
    assert [path.name for path in tmp_path.glob(".*")] == [
        path.name for path in tmp_path.glob(".other*")
    ]
    files.clear_drafts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.bin", "own-1.bin"]


def test_a_folder_is_published_once(tmp_path: Path) -> None:
    for content in ("first", "second"):
        staged = tmp_path / "staged"
        (staged / "inner").mkdir(parents=True)
        (staged / "inner" / "a").write_text(content)
        files.publish_folder(staged, tmp_path / "final")
        assert not staged.exists()
    assert (tmp_path / "final" / "inner" / "a").read_text() == "first"


def test_a_tree_is_made_durable_and_its_links_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, synced, fsync = tmp_path / "tree", [], os.fsync
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "a").write_text("a")
    (root / "outside").symlink_to(tmp_path)
    (root / "nowhere").symlink_to("gone")

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    files.fsync_tree(root)
    assert sorted(synced) == [root, root / "inner", root / "inner" / "a"]


def test_a_link_is_swapped_and_always_resolves(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        files.swap_link(tmp_path / "active", name)
        assert (tmp_path / "active").resolve() == tmp_path / name


def test_hashes_of_bytes_and_files_agree(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert files.sha256_bytes(content) == files.sha256_file(tmp_path / "a") == expected


def test_a_lock_is_exclusive_and_freed(tmp_path: Path) -> None:
    with (
        files.exclusive(tmp_path / "lock"),
        pytest.raises(TryLater, match="Another process"),
        files.exclusive(tmp_path / "lock"),
    ):
        pass
    with files.exclusive(tmp_path / "lock"):
        pass
