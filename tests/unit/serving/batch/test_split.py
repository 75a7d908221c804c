import os
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.serving.batch import split
from agent.serving.batch.folder import ASKED, INPUT, REQUEST, ROWS, TABLE, Request, write


def _job(root: Path, rows: int) -> Path:
    content = "".join(f"{'C' * (1 + row)}O\n" for row in range(rows)).encode()
    (root / INPUT).write_bytes(content)
    request = Request("1", "kim", "2026-01-02", "smi", "", "", len(content), 2)
    write(root / REQUEST, request)
    return root


def test_a_file_is_cut_into_parts_and_the_table_comes_last(tmp_path: Path) -> None:
    cut = split.split(_job(tmp_path, 5))
    assert next(cut) == 2
    assert not (tmp_path / TABLE).exists()
    assert list(cut) == [2, 1]
    assert (tmp_path / TABLE).exists()


def test_the_table_comes_once_the_parts_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    fsync, job = os.fsync, _job(tmp_path, 5)
    parts = {f"0000{at}.{kind}" for at in range(3) for kind in (ROWS, ASKED)}

    def noted(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if name.startswith(f".{TABLE}."):
            assert synced == parts
        synced.add(name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    assert list(split.split(job)) == [2, 2, 1]
    assert synced > parts


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "MAX_ROWS", 4)
    with pytest.raises(Refused, match="over 4 rows; cut it up"):
        list(split.split(_job(tmp_path, 5)))
    assert not (tmp_path / TABLE).exists()
