import os
import tarfile
from pathlib import Path

import pytest

from agent.backup.archive import write
from agent.backup.restore import restore
from agent.clock import now
from agent.config import Paths
from agent.errors import Stop
from agent.ledger.book import Ledger


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    state = tmp_path / "former"
    for folder in ("keys", "courier", "releases/r1"):
        (state / folder).mkdir(parents=True)
    with Ledger(state / "ledger.sqlite3") as ledger:
        ledger.raise_floor("roster", 7)
    (state / "keys" / "sign.key").write_bytes(b"secret")
    (state / "courier" / "transport.ndjson").write_bytes(b"line\n")
    (state / "releases" / "r1" / "card.json").write_bytes(b"{}")
    (state / "releases" / "active").symlink_to("r1")
    write(state, [], tmp_path / "backup.tar", now())
    return tmp_path / "backup.tar"


def test_what_is_kept_is_there_and_what_has_ended_is_not(backup: Path, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state")
    restore(backup, paths, now())
    assert (paths.releases / "active" / "card.json").read_bytes() == b"{}"
    assert (paths.releases / "r1" / "card.json").stat().st_mode & 0o777 == 0o640
    assert (paths.courier / "transport.ndjson").read_bytes() == b"line\n"
    assert list(paths.keys.iterdir()) == []
    with Ledger(paths.ledger) as ledger:
        assert ledger.floor("roster") == 7
    with pytest.raises(Stop, match="state already"):
        restore(backup, paths, now())


def test_the_python_of_debian_12_restores_as_well(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 3.11.2 has no extraction filters; tests/system restores with that very Python.
    monkeypatch.delattr(tarfile, "data_filter")
    monkeypatch.delattr(tarfile.TarInfo, "replace")
    monkeypatch.delattr(tarfile.TarFile, "extract")
    restore(backup, Paths(tmp_path / "state"), now())


def test_what_a_kill_left_of_a_first_attempt_is_in_nobodys_way(
    backup: Path, tmp_path: Path
) -> None:
    paths = Paths(tmp_path / "state")
    (paths.releases / "r1").mkdir(parents=True)
    (paths.releases / "r1" / "card.json").write_bytes(b"half of it, and longer")
    (paths.releases / "active").symlink_to("elsewhere")
    (paths.state / "ledger.restoring").write_bytes(b"half")
    restore(backup, paths, now())
    assert (paths.releases / "active" / "card.json").read_bytes() == b"{}"


def test_the_ledger_gets_its_name_once_all_the_rest_is_durable(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, synced, fsync, rename = Paths(tmp_path / "state"), [], os.fsync, Path.rename

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        there = [entry for entry in paths.state.rglob("*") if not entry.is_symlink()]
        assert {paths.releases / "r1" / "card.json", path, paths.releases} <= set(there)
        assert {paths.state, *there} <= set(synced)
        synced.clear()
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "rename", renamed)
    restore(backup, paths, now())
    assert synced == [paths.state]


def test_nothing_is_written_through_a_link_of_the_backup(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"as it was")
    paths = Paths(tmp_path / "state")
    paths.releases.mkdir(parents=True)
    (paths.releases / "card.json").symlink_to(outside)
    former = tmp_path / "former"
    (former / "releases").mkdir(parents=True)
    (former / "releases" / "card.json").write_bytes(b"new")
    with Ledger(former / "ledger.sqlite3"):
        pass
    write(former, [], tmp_path / "backup.tar", now())
    restore(tmp_path / "backup.tar", paths, now())
    assert outside.read_bytes() == b"as it was"
