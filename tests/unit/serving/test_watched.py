import os
from pathlib import Path

import pytest

from agent.serving import watched
from agent.serving.watched import Watched


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(content)
    new.replace(path)


def test_it_is_read_once_and_again_when_it_changed(path: Path) -> None:
    reads: list[bytes] = []

    def read(content: bytes) -> int:
        reads.append(content)
        return int(content)

    path.write_bytes(b"1")
    file = Watched(path, read)
    assert [file.current(), file.current()] == [1, 1]
    _replace(path, b"2")
    assert [file.current(), file.current()] == [2, 2]
    assert reads == [b"1", b"2"]


def test_another_file_of_the_same_time_and_length_is_seen(path: Path) -> None:
    path.write_bytes(b"1")
    file = Watched(path, int)
    assert file.current() == 1
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    _replace(path, b"2")
    os.utime(path, ns=times)
    assert file.current() == 2


def test_what_is_missing_is_a_fault_or_says_what_was_agreed(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Watched(path, int).current()
    file = Watched(path, int, missing=7)
    assert file.current() == 7
    path.write_bytes(b"1")
    assert file.current() == 1
    path.unlink()
    assert file.current() == 7


def test_a_bad_file_is_never_answered_with_what_stood_there_before(path: Path) -> None:
    path.write_bytes(b"1")
    file = Watched(path, int)
    file.current()
    _replace(path, b"x")
    for _ in range(2):
        with pytest.raises(ValueError, match="invalid literal"):
            file.current()
    _replace(path, b"3")
    assert file.current() == 3


def test_an_endless_file_is_not_read(path: Path) -> None:
    with path.open("wb") as handle:
        handle.truncate(watched._MAX_BYTES + 1)
    with pytest.raises(ValueError, match="too long"):
        Watched(path, int).current()
