import io
import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.backup import archive
from agent.backup.archive import FORMAT, MANIFEST, check, write
from agent.clock import now
from agent.errors import Refused, Stop, TryLater

_KILLED = """
import os, sys
from pathlib import Path
from agent.backup import archive
from agent.clock import now

archive._add_open = lambda *_: os._exit(9)
archive.write(Path(sys.argv[1]), [], Path(sys.argv[2]), now())
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    root = tmp_path / "state"
    for folder in ("keys", "courier", "jobs/1", "releases/r1", "models"):
        (root / folder).mkdir(parents=True)
    (root / "keys" / "sign.key").write_bytes(b"secret")
    (root / "courier" / "transport.ndjson").write_bytes(b"line\n")
    (root / "jobs" / "1" / "order.json").write_bytes(b"{}")
    (root / "models" / "features.sqlite3").write_bytes(b"cache")
    (root / "releases" / "active").symlink_to("r1")
    (root / "releases" / "r1" / "card.json").write_bytes(b"{}")
    return root


def _names(archive: Path) -> set[str]:
    with tarfile.open(archive) as found:
        return set(found.getnames())


def test_what_cannot_be_made_anew_is_there(state: Path, tmp_path: Path) -> None:
    target, config = tmp_path / "backup.tar", tmp_path / "onggi.toml"
    config.write_text("[site]\n")
    manifest = write(state, [config, tmp_path / "absent"], target, now())
    assert _names(target) == {
        "keys/sign.key",
        "courier/transport.ndjson",
        "releases/active",
        "releases/r1/card.json",
        f"etc{config}",
        MANIFEST,
    }
    assert check(target) == manifest
    assert os.stat(target).st_mode & 0o777 == 0o600  # noqa: PTH116 - the mode alone
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_database_is_whole_while_it_is_written_to(state: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(state / "ledger.sqlite3", isolation_level=None)) as ledger:
        ledger.execute("PRAGMA journal_mode = WAL")
        ledger.execute("CREATE TABLE t (n)")
        ledger.execute("INSERT INTO t VALUES (1)")  # in the -wal alone
        ledger.execute("BEGIN IMMEDIATE")
        ledger.execute("INSERT INTO t VALUES (2)")
        write(state, [], tmp_path / "b.tar", now())
        ledger.execute("COMMIT")
    with tarfile.open(tmp_path / "b.tar") as archive:
        archive.extract("ledger.sqlite3", tmp_path / "out", filter="data")
    with closing(sqlite3.connect(tmp_path / "out" / "ledger.sqlite3")) as copy:
        assert copy.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_a_backup_that_cannot_be_written_leaves_nothing(state: Path, tmp_path: Path) -> None:
    with pytest.raises(Stop, match="is there and has room"):
        write(state, [], tmp_path / "absent" / "b.tar", now())


def test_what_a_killed_backup_left_goes_with_the_next_one(state: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(state / "ledger.sqlite3")) as ledger:
        ledger.execute("CREATE TABLE t (n)")
    before = {*tmp_path.rglob("*")}
    (tmp_path / ".of-somebody-else.tmp").touch()
    (state / ".backup-by-hand").mkdir()
    command = [sys.executable, "-c", _KILLED, str(state), str(tmp_path / "monday.tar")]
    assert subprocess.run(command, check=False).returncode == 9
    left = {path.name for path in {*tmp_path.rglob("*")} - before}
    assert {"ledger.sqlite3"} < left  # a whole copy, and the archive that was begun
    assert len(left) == 5
    write(state, [], tmp_path / "tuesday.tar", now())
    assert {*tmp_path.rglob("*")} - before == {
        tmp_path / "tuesday.tar",
        tmp_path / ".of-somebody-else.tmp",
        state / ".backup-by-hand",
    }


def test_one_backup_runs_at_a_time(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = archive._fill

    def meanwhile(*given: Any) -> archive.Manifest:  # noqa: ANN401 - what `_fill` takes
        with pytest.raises(TryLater, match="Another backup"):
            write(state, [], tmp_path / "second.tar", now())
        return fill(*given)

    monkeypatch.setattr(archive, "_fill", meanwhile)
    write(state, [], tmp_path / "first.tar", now())
    assert check(tmp_path / "first.tar").files
    assert not (tmp_path / "second.tar").exists()


def _rewritten(source: Path, target: Path, name: str, content: bytes) -> Path:
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for entry in old:
            handle = old.extractfile(entry) if entry.isreg() else None
            held = handle.read() if handle is not None else b""
            if entry.name == name:
                held, entry.size = content, len(content)
            new.addfile(entry, io.BytesIO(held))
    return target


def test_an_altered_file_is_found(state: Path, tmp_path: Path) -> None:
    write(state, [], tmp_path / "b.tar", now())
    altered = _rewritten(tmp_path / "b.tar", tmp_path / "a.tar", "keys/sign.key", b"other!")
    with pytest.raises(Refused, match="damaged_backup"):
        check(altered)


def test_what_a_later_program_wrote_is_left_to_it(state: Path, tmp_path: Path) -> None:
    manifest = write(state, [], tmp_path / "b.tar", now())
    later = manifest.model_copy(update={"format": FORMAT + 1, "version": "9.1"})
    content = later.model_dump_json().encode()
    newer = _rewritten(tmp_path / "b.tar", tmp_path / "n.tar", MANIFEST, content)
    with pytest.raises(Refused, match=r"Onggi 9\.1 wrote .*newer_backup"):
        check(newer)


def test_a_backup_that_was_cut_short_is_none(state: Path, tmp_path: Path) -> None:
    write(state, [], tmp_path / "b.tar", now())
    whole = (tmp_path / "b.tar").read_bytes()
    for size in (0, 100, len(whole) // 2):
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        with pytest.raises(Refused, match="not_a_backup"):
            check(tmp_path / "cut.tar")
    with pytest.raises(TryLater):
        check(tmp_path / "absent.tar")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(Refused, match="leads elsewhere"):
        check(tmp_path / "b.tar")


def test_a_link_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        entry = tarfile.TarInfo("releases/active")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(entry)
    with pytest.raises(Refused, match="leads elsewhere"):
        check(tmp_path / "b.tar")
