import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from agent.errors import EXIT_TRY_LATER
from agent.keeper.hours import Hours
from agent.keeper.jobs import BACK_OFF_S, KILL_BACK_OFF_S, STALL_S, WORKER_DIED
from agent.keeper.orders import IngestOrder, Progress, Result, SnapshotOrder
from agent.keeper.spares import Spares

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House

Die = Callable[[], None]


def _order(house: "House") -> IngestOrder:
    return IngestOrder(
        store="files",
        reader="table",
        profile="",
        catalogue=house.consortium.catalogue,
        private=(),
        parts=str(house.paths.parts),
        files=(),
    )


def _snapshot(house: "House") -> SnapshotOrder:
    return SnapshotOrder(
        snapshot="s" * 64,
        parts=(),
        plan=house.consortium.plan_document(),
        cache="",
        folder=str(house.paths.snapshots / "s"),
    )


def _die(house: "House", status: int = -signal.SIGSEGV) -> None:
    """Ends the running worker as a crash would."""
    running = house.workers._running
    assert running is not None
    running[1].kill()
    running[1].wait()
    running[1].returncode = status


@pytest.fixture
def die(house: "House") -> Die:
    return lambda: _die(house)


def _leave_result(house: "House", job_id: str, result: Result) -> None:
    (house.workers.path(job_id) / "result.json").write_text(result.model_dump_json())


def test_a_job_is_queued_once_and_claimed_once(house: "House") -> None:
    assert house.workers.submit("j1", _order(house), house.now)
    assert not house.workers.submit("j1", _order(house), house.now)
    assert house.workers.start_next(house.now) == "j1"
    assert house.state("job", "j1") == "started"
    house.workers.submit("j2", _order(house), house.now)
    assert house.workers.start_next(house.now) is None  # one at a time
    assert house.workers.ended(house.now) == []  # it still runs
    assert house.workers.order(house.item("job", "j1")) == _order(house)


class _Counted(Spares):
    """Counts how many should stand by, and starts none."""

    kept = -1

    def keep(self, count: int) -> None:
        self.kept = count


def test_workers_stand_by_unless_training_runs(house: "House") -> None:
    house.workers._spares = spares = _Counted()
    house.workers.prepare(2)
    assert spares.kept == 2
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    house.pipeline.prepare()  # no file was looked at yet, so some may be waited for
    assert spares.kept == 1
    assert house.workers.is_running("ingest")
    running = house.workers._running
    assert running is not None
    house.round_order()
    house.workers._running = ("round-p1.r1.a1", running[1])
    house.workers.prepare(2)
    assert spares.kept == 0
    house.intake.look(house.now, 0.0)
    house.workers.prepare(1)
    house.pipeline.prepare()
    assert spares.kept == 0


def test_nothing_to_do(house: "House") -> None:
    assert house.workers.start_next(house.now) is None
    assert house.workers.progress() is None
    house.workers.stop()


def test_fresh_measurements_come_first(house: "House") -> None:
    house.workers.submit("snapshot", _snapshot(house), house.now)
    house.workers.submit("ingest", _order(house), house.now)
    assert house.workers.start_next(house.now) == "ingest"


def test_a_job_whose_worker_dies_is_tried_again_and_then_given_up(house: "House", die: Die) -> None:
    house.workers.submit("j1", _order(house), house.now)
    for attempt in (1, 2):
        assert house.workers.start_next(house.now) == "j1"
        die()
        assert house.workers.ended(house.now) == []
        job = house.item("job", "j1")
        assert (job.state, job.detail["deaths"]) == ("queued", attempt)
        assert house.workers.start_next(house.now) is None  # not at once
        house.later(BACK_OFF_S[attempt - 1])
    house.workers.start_next(house.now)
    die()
    ((job, result),) = house.workers.ended(house.now)
    assert result.refused_code == WORKER_DIED
    assert "died 3 times" in result.refused
    house.workers.finish(job, result, house.now)
    assert (house.state("job", "j1"), house.item("job", "j1").why) == ("failed", result.refused)
    assert house.workers.start_next(house.now) is None


def test_where_a_training_stood_is_all_that_is_left_for_the_next_try(
    house: "House", die: Die
) -> None:
    house.workers.submit("j1", _snapshot(house), house.now)
    house.workers.start_next(house.now)
    die()
    folder = house.workers.path("j1")
    for name in ("checkpoint", "release"):
        (folder / name).mkdir()
        (folder / name / "training.safetensors").write_bytes(b"half")
    (folder / "update.safetensors").write_bytes(b"half")
    house.workers.ended(house.now)
    house.later(BACK_OFF_S[0])
    assert house.workers.start_next(house.now) == "j1"
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")}
    assert kept == {"checkpoint/training.safetensors"}
    house.workers.stop()


def test_a_reader_that_is_killed_is_no_poison(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    for attempt in range(1, 12):
        assert house.workers.start_next(house.now) == "j1"
        _die(house, -signal.SIGKILL)
        assert house.workers.ended(house.now) == []
        assert house.item("job", "j1").detail["deaths"] == attempt
        house.later(KILL_BACK_OFF_S[min(attempt, len(KILL_BACK_OFF_S)) - 1])
    house.workers.start_next(house.now)
    _die(house, -signal.SIGKILL)
    ((_, result),) = house.workers.ended(house.now)
    assert "died 12 times" in result.refused


def test_restarts_of_the_keeper_are_not_held_against_a_job(house: "House", die: Die) -> None:
    house.workers.submit("j1", _order(house), house.now)
    for _ in range(4):
        house.workers.start_next(house.now)
        house.reopen()
        house.workers.recover(house.now)
        assert house.state("job", "j1") == "queued"
    house.workers.start_next(house.now)
    die()
    assert house.workers.ended(house.now) == []
    assert house.state("job", "j1") == "queued"


def test_a_result_outlives_the_keeper(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    house.workers.stop()
    _leave_result(house, "j1", Result(compounds=7))
    house.reopen()
    house.workers.recover(house.now)
    ((job, result),) = house.workers.ended(house.now)
    assert (job.id, result.compounds) == ("j1", 7)
    house.workers.finish(job, result, house.now)
    house.workers.clear(job)
    assert house.state("job", "j1") == "finished"
    assert not house.workers.path("j1").exists()
    assert house.workers.ended(house.now) == []


def test_a_result_of_a_worker_that_failed_counts_for_nothing(house: "House") -> None:
    """Done means exit 0 *and* a result: after an unlikely end nobody knows what the result is."""
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    _die(house, status=1)
    _leave_result(house, "j1", Result(compounds=7))
    assert house.workers.ended(house.now) == []
    assert house.state("job", "j1") == "queued"
    assert not (house.workers.path("j1") / "result.json").exists()


def test_half_a_result_is_none(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    _die(house, status=0)
    (house.workers.path("j1") / "result.json").write_text('{"compounds": 7')
    assert house.workers.ended(house.now) == []
    assert house.state("job", "j1") == "queued"


def test_a_new_try_starts_in_an_empty_folder(house: "House", die: Die) -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    (house.workers.path("j1") / "half.npz").write_bytes(b"half")
    die()
    house.workers.ended(house.now)
    house.later(BACK_OFF_S[0])
    house.workers.start_next(house.now)
    assert not (house.workers.path("j1") / "half.npz").exists()


def test_folders_that_no_job_needs_are_removed_at_a_start(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    (house.paths.jobs / "orphan").mkdir()
    house.reopen()
    house.workers.recover(house.now)
    assert [folder.name for folder in house.paths.jobs.iterdir()] == ["j1"]


def test_the_progress_of_the_running_job(house: "House", die: Die) -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    progress = Progress(stage="reading", done=1, total=4)
    (house.workers.path("j1") / "progress.json").write_text(progress.model_dump_json())
    assert house.workers.progress() == ("j1", progress)
    (house.workers.path("j1") / "progress.json").write_text("half")
    assert house.workers.progress() == ("j1", None)


def test_the_keeper_is_woken_when_a_worker_ends(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    house.workers.stop()
    running = house.workers._running
    assert running is not None
    house.workers._wait(running[1])
    assert house.woken >= 1


def test_a_worker_whose_keeper_is_gone_does_nothing(house: "House") -> None:
    folder = house.paths.jobs / "j1"
    folder.mkdir()
    (folder / "order.json").write_text(_order(house).model_dump_json())
    command = [sys.executable, "-m", "agent", "work", str(folder), "--parent", str(os.getppid())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_TRY_LATER
    assert "keeper died" in done.stderr
    assert not (folder / "result.json").exists()


def _later(house: "House") -> None:
    """A worker that says that it cannot go on just now."""
    _leave_result(house, "j1", Result(refused_code="try_later", refused="The disk is full."))
    _die(house, status=0)


def test_what_cannot_be_done_now_is_done_later_however_often(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    for wait_s in (*BACK_OFF_S, BACK_OFF_S[-1]):
        assert house.workers.start_next(house.now) == "j1"
        _later(house)
        assert house.workers.ended(house.now) == []
        job = house.item("job", "j1")
        assert (job.state, job.why, job.detail["deaths"]) == ("queued", "The disk is full.", 0)
        house.later(wait_s - 1)
        assert house.workers.start_next(house.now) is None
        house.later(1)
    assert house.workers.start_next(house.now) == "j1"


def test_a_worker_that_left_no_result_but_asked_for_patience_did_not_die(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    _die(house, status=EXIT_TRY_LATER)
    assert house.workers.ended(house.now) == []
    job = house.item("job", "j1")
    assert (job.state, job.detail["deaths"], job.detail["waits"]) == ("queued", 0, 1)


def test_other_jobs_go_on_while_one_waits(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    _later(house)
    house.workers.ended(house.now)
    house.workers.submit("later", _snapshot(house), house.now)
    assert house.workers.start_next(house.now) == "later"


def test_a_clock_that_was_wrong_makes_no_job_wait_for_years(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.later(3e8)
    house.workers.start_next(house.now)
    _later(house)
    house.workers.ended(house.now)
    house.later(-3e8)
    assert house.workers.start_next(house.now) == "j1"


def test_without_room_for_its_order_a_job_stays_queued(
    house: "House", monkeypatch: pytest.MonkeyPatch
) -> None:
    house.workers.submit("j1", _order(house), house.now)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("agent.keeper.jobs.write_atomic", full)
        assert house.workers.start_next(house.now) is None
    assert house.state("job", "j1") == "queued"
    assert house.workers.start_next(house.now) == "j1"


def _tell(house: "House", done: int) -> None:
    content = Progress(stage="training", done=done, total=4).model_dump_json()
    path = house.workers.path("j1") / "progress.json"
    path.write_text(content)
    os.utime(path, ns=(done, done))


def test_a_worker_that_hangs_is_killed_and_counted_as_a_death(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    running = house.workers._running
    assert running is not None
    running[1].kill()  # the real one has nothing to do
    running[1].wait()
    sleeper = subprocess.Popen(["sleep", "600"])
    house.workers._running = ("j1", sleeper)
    for number in range(4):  # slow, and alive
        _tell(house, number + 1)
        house.workers.watch(number * (STALL_S - 1))
    at_s = 3 * (STALL_S - 1)
    house.workers.watch(at_s + STALL_S - 1)
    assert sleeper.poll() is None
    house.workers.watch(at_s + STALL_S)
    assert sleeper.wait() == -9
    assert house.workers.ended(house.now) == []
    job = house.item("job", "j1")
    assert (job.state, job.detail["deaths"]) == ("queued", 1)
    assert "no progress for 1800 s while training" in job.why
    house.workers.watch(at_s + 3 * STALL_S)  # nothing runs


def test_a_worker_that_never_says_anything_hangs_too(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.workers.start_next(house.now)
    sleeper = subprocess.Popen(["sleep", "600"])
    running = house.workers._running
    assert running is not None
    running[1].kill()
    running[1].wait()
    house.workers._running = ("j1", sleeper)
    house.workers.watch(0.0)
    house.workers.watch(STALL_S)
    sleeper.wait()
    house.workers.ended(house.now)
    assert "while starting" in house.item("job", "j1").why


def test_training_waits_for_its_hours_and_says_so(house: "House") -> None:
    order = house.round_order()
    job = f"round-{order.manifest.round_id}"
    hour = house.now.astimezone().hour
    house.workers._hours = Hours((hour + 2) % 24, (hour + 4) % 24)
    assert house.workers.start_next(house.now) is None
    assert "waits for the hours of training" in house.item("job", job).why
    house.workers.submit("j1", _order(house), house.now)
    assert house.workers.start_next(house.now) == "j1"  # reading files is no training
    house.reopen()
    house.workers.recover(house.now)
    house.workers._hours = Hours(hour, (hour + 1) % 24)
    house.ledger.move(house.item("job", "j1"), "started", house.now)
    house.ledger.move(house.item("job", "j1"), "failed", house.now)
    assert house.workers.start_next(house.now) == job
    assert house.item("job", job).why == ""


def test_what_a_job_cost_stands_in_the_ledger(house: "House") -> None:
    house.workers.submit("j1", _order(house), house.now)
    house.ledger.move(house.item("job", "j1"), "started", house.now)
    result = Result(seconds=2.0, cpu_s=3.5, peak_mb=128.0)
    house.workers.finish(house.item("job", "j1"), result, house.now)
    cost = house.item("job", "j1").detail["cost"]
    assert cost == {"seconds": 2.0, "cpu_s": 3.5, "peak_mb": 128.0}
