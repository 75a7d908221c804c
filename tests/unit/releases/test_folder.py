from pathlib import Path

import pytest

from agent.errors import Refused
from agent.releases import folder


def _stage(root: Path, name: str, without: str = "") -> Path:
    staged = root / f"staged-{name}"
    staged.mkdir()
    for part in folder.REQUIRED:
        if part != without:
            (staged / part).write_bytes(name.encode())
    return staged


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    path = tmp_path / "releases"
    path.mkdir()
    for name in ("r1", "r2"):
        folder.install(_stage(tmp_path, name), path, name)
    return path


def test_an_installed_release_is_complete_and_read_only(releases: Path) -> None:
    assert {path.name for path in (releases / "r1").iterdir()} == set(folder.REQUIRED)
    assert {path.stat().st_mode & 0o777 for path in (releases / "r1").iterdir()} == {0o440}


def test_what_is_installed_is_never_changed(tmp_path: Path, releases: Path) -> None:
    staged = _stage(tmp_path, "other")
    assert folder.install(staged, releases, "r1") == releases / "r1"
    assert (releases / "r1" / folder.CARD).read_bytes() == b"r1"
    assert not staged.exists()


def test_an_incomplete_release_is_refused(tmp_path: Path, releases: Path) -> None:
    with pytest.raises(Refused, match="incomplete_release") as caught:
        folder.install(_stage(tmp_path, "r3", without=folder.MODEL), releases, "r3")
    assert folder.MODEL in caught.value.reason
    assert not (releases / "r3").exists()


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "active", "previous", ".r", "R", "a" * 64])
def test_an_id_that_is_no_plain_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="bad_release_id"):
        folder.path_of(tmp_path, name)


def test_activation_remembers_what_was_before(releases: Path) -> None:
    assert (folder.active_id(releases), folder.previous_id(releases)) == (None, None)
    folder.activate(releases, "r1")
    assert (folder.active_id(releases), folder.previous_id(releases)) == ("r1", None)
    folder.activate(releases, "r2")
    folder.activate(releases, "r2")
    assert (folder.active_id(releases), folder.previous_id(releases)) == ("r2", "r1")


def test_only_an_installed_release_is_activated(releases: Path) -> None:
    with pytest.raises(Refused, match="unknown_release"):
        folder.activate(releases, "r9")
    assert folder.active_id(releases) is None


def test_a_kill_between_the_two_renames_is_repaired_by_the_next_call(releases: Path) -> None:
    folder.activate(releases, "r1")
    (releases / "previous").symlink_to("r1")  # the first rename was done, the second was not
    assert folder.previous_id(releases) is None
    folder.activate(releases, "r2")
    assert (folder.active_id(releases), folder.previous_id(releases)) == ("r2", "r1")


def test_rolling_back_leaves_no_previous_release(releases: Path) -> None:
    folder.activate(releases, "r1")
    folder.activate(releases, "r2")
    assert folder.roll_back(releases) == "r1"
    assert (folder.active_id(releases), folder.previous_id(releases)) == ("r1", None)
    with pytest.raises(Refused, match="no_previous_release"):
        folder.roll_back(releases)


@pytest.mark.parametrize("target", ["../elsewhere", "gone", "r1/weights.safetensors"])
def test_a_link_to_anything_else_is_no_release(releases: Path, target: str) -> None:
    (releases / "active").symlink_to(target)
    assert folder.active_id(releases) is None
