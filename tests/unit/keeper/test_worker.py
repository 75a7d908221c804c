import errno
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused, Stop, TryLater
from agent.files import exclusive
from agent.keeper import worker
from agent.keeper.orders import IngestOrder, Result

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


@pytest.fixture
def job(house: "House", monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's folder; this process neither becomes nice nor asks to die with its parent."""
    monkeypatch.setattr(worker, "_die_with", lambda _: None)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(worker, "_LOCK_TRIES", 1)
    order = IngestOrder(
        store="files",
        reader="table",
        profile="",
        catalogue=house.consortium.catalogue,
        private=(),
        parts=str(house.paths.parts),
        files=(),
    )
    folder = house.paths.jobs / "j1"
    folder.mkdir()
    (folder / "order.json").write_text(order.model_dump_json())
    return folder


def _result(job: Path) -> Result:
    return Result.model_validate_json((job / "result.json").read_bytes())


def test_an_order_becomes_a_result(job: Path) -> None:
    worker.work(job, 1)
    result = _result(job)
    assert result.refused == ""
    assert result.peak_mb > 1
    assert result.cpu_s > 0


def test_one_that_stands_by_does_the_job_that_it_is_told(job: Path) -> None:
    worker.stand_by(1, io.StringIO(str(job)))
    assert _result(job).refused == ""
    worker.stand_by(1, io.StringIO(""))  # nothing is to be done after all


def test_a_refusal_is_a_result(job: Path) -> None:
    order = json.loads((job / "order.json").read_text())
    (job / "order.json").write_text(json.dumps({**order, "profile": str(job / "none.toml")}))
    worker.work(job, 1)
    assert _result(job).refused_code == "bad_profile"


def test_a_crash_leaves_no_result(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> Result:
        raise MemoryError

    monkeypatch.setattr(worker, "_do", crash)
    with pytest.raises(MemoryError):
        worker.work(job, 1)
    assert not (job / "result.json").exists()


def test_two_workers_never_hold_one_folder(job: Path) -> None:
    with exclusive(job / "lock"), pytest.raises(TryLater):
        worker.work(job, 1)
    assert not (job / "result.json").exists()


def test_progress_is_renamed_in(job: Path) -> None:
    worker._reporter(job)("reading", 1, 4)
    assert json.loads((job / "progress.json").read_text()) == {
        "stage": "reading",
        "done": 1,
        "total": 4,
    }


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _refused_over(cause: OSError) -> Refused:
    refused = Refused("damaged_part", "The part cannot be read.")
    refused.__cause__ = cause
    return refused


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (Stop("Correct the profile."), "stop", "Correct the profile."),
        (TryLater("The cache is busy."), "try_later", "The cache is busy."),
        (FULL, "try_later", "No space left"),
        (ImportError("x", name="torch"), "try_later", "install torch: see the README"),
        (_refused_over(OSError(errno.EIO, "I/O")), "try_later", "The part cannot be read."),
        (_refused_over(OSError(errno.EACCES, "no")), "damaged_part", "The part cannot be read."),
    ],
)
def test_what_is_no_crash_is_said_in_a_sentence(
    job: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, sentence: str
) -> None:
    def fail(*_: object) -> Result:
        raise error

    monkeypatch.setattr(worker, "_do", fail)
    worker.work(job, 1)
    assert _result(job).refused_code == code
    assert sentence in _result(job).refused


def test_a_result_for_which_there_is_no_room_is_left_for_later(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(worker, "write_atomic", full)
    with pytest.raises(TryLater, match="No space left"):
        worker.work(job, 1)
