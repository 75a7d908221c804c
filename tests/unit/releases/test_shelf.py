from pathlib import Path

import pytest

from agent.releases import shelf

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def _put(folder: Path, name: str) -> None:
    staged = folder.parent / "staged"
    staged.write_text(name)
    shelf.put(folder, staged, name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "reference"
    path.mkdir()
    return path


def test_nothing_is_there_at_first(folder: Path) -> None:
    assert shelf.current(folder) == ""
    assert shelf.current(folder / "nowhere") == ""
    shelf.clear(folder / "nowhere")


def test_the_one_before_stays_and_older_ones_go(folder: Path) -> None:
    for name in (A, B, C):
        _put(folder, name)
        assert shelf.current(folder) == name
        assert shelf.path_of(folder, name).read_text() == name
    assert {path.name for path in folder.iterdir()} == {
        f"{B}.sqlite3",
        f"{C}.sqlite3",
        "current",
    }
    assert shelf.path_of(folder, C).stat().st_mode & 0o777 == 0o640


def test_what_a_kill_left_half_way_is_done(folder: Path) -> None:
    _put(folder, A)
    shelf.path_of(folder, B).write_text(B)  # renamed, and the link not yet swapped
    shelf.put(folder, folder.parent / "staged", B)
    assert shelf.current(folder) == B


def test_laid_out_again_after_a_kill_the_one_before_stays(folder: Path) -> None:
    for name in (A, B):
        _put(folder, name)
    shelf.put(folder, folder.parent / "staged", B)  # the kill came before the job's COMMIT
    assert {shelf.path_of(folder, name).exists() for name in (A, B)} == {True}
    _put(folder, C)
    assert not shelf.path_of(folder, A).exists()


def test_without_a_file_the_link_stays(folder: Path) -> None:
    _put(folder, A)
    with pytest.raises(FileNotFoundError):
        shelf.put(folder, folder.parent / "staged", B)
    assert shelf.current(folder) == A


def test_clearing_removes_all_of_it(folder: Path) -> None:
    _put(folder, A)
    shelf.clear(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret.sqlite3", f"{A}", "x.sqlite3"])
def test_a_link_elsewhere_is_no_reference(folder: Path, target: str) -> None:
    (folder / "current").symlink_to(target)
    assert shelf.current(folder) == ""


@pytest.mark.parametrize("name", ["", "../x", "a" * 63, "A" * 64])
def test_only_a_hash_is_a_name(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match="hexadecimal"):
        shelf.path_of(folder, name)
