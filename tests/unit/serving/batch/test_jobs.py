import asyncio
import os
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.serving.batch import folder, jobs
from agent.serving.batch.folder import INPUT, Request
from agent.serving.batch.jobs import MOST_WAITING, SMALL_BYTES, Job, Jobs, Limits
from agent.serving.problems import Problem

ASKED = Request("", "anna", "", "csv", "", "", 0, 10)


class Watch:
    """A clock that somebody sets; each look is a second later."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def all_jobs(tmp_path: Path, watch: Watch) -> Jobs:
    made = Jobs(tmp_path / "jobs", Limits(input_bytes=4 * SMALL_BYTES, days=7), watch)
    made.open()
    return made


async def _add(all_jobs: Jobs, owner: str = "anna", size: int = 10) -> Job:
    path = all_jobs.upload(owner, size)
    (path / INPUT).write_bytes(b"x" * size)
    return await all_jobs.add(path, replace(ASKED, owner=owner))


def _code(call: object, *arguments: object) -> tuple[int, str]:
    with pytest.raises(Problem) as problem:
        call(*arguments)  # type: ignore[operator]  # any method
    return problem.value.status, problem.value.code


def test_a_job_is_its_owners_alone(all_jobs: Jobs) -> None:
    job = asyncio.run(_add(all_jobs))
    assert all_jobs.own("anna", job.name) is job
    assert all_jobs.all_of("bela") == []
    assert _code(all_jobs.own, "bela", job.name) == (404, "no_such_job")
    assert _code(all_jobs.own, "anna", "../x") == (404, "no_such_job")


def test_what_is_too_large_or_too_much_is_refused(
    all_jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _code(all_jobs.upload, "anna", 4 * SMALL_BYTES + 1) == (413, "body_too_large")
    monkeypatch.setattr(jobs, "FREE_BYTES", 1 << 60)
    assert _code(all_jobs.upload, "anna", 1) == (507, "disk_full")


def test_one_caller_has_only_so_many_jobs_that_wait(all_jobs: Jobs) -> None:
    async def fill() -> None:
        for _ in range(MOST_WAITING):
            await _add(all_jobs)

    asyncio.run(fill())
    assert _code(all_jobs.upload, "anna", 1) == (429, "too_many_jobs")
    assert all_jobs.upload("bela", 1).is_dir()


def test_callers_take_turns_and_small_jobs_have_a_lane(all_jobs: Jobs) -> None:
    async def order() -> list[tuple[str, int]]:
        for owner, size in (("anna", 5), ("anna", 6), ("bela", 2 * SMALL_BYTES), ("bela", 7)):
            await _add(all_jobs, owner, size)
        small = await all_jobs.take(small=True)
        taken = [small, *[await all_jobs.take(small=False) for _ in range(3)]]
        return [(job.request.owner, job.request.size) for job in taken]

    assert asyncio.run(order()) == [
        ("anna", 5),
        ("bela", 2 * SMALL_BYTES),
        ("anna", 6),
        ("bela", 7),
    ]


def test_a_restart_finds_the_jobs_and_clears_what_is_none(
    all_jobs: Jobs, tmp_path: Path, watch: Watch
) -> None:
    async def two() -> tuple[Job, Job]:
        first, second = await _add(all_jobs), await _add(all_jobs)
        await all_jobs.book(first, replace(first.state, state="running", parts=2))
        await all_jobs.end(second, replace(second.state, state="done"))
        return first, second

    first, second = asyncio.run(two())
    all_jobs.upload("anna", 1)  # never ends
    (tmp_path / "jobs" / ("0" * 24)).mkdir()
    again = Jobs(tmp_path / "jobs", Limits(), watch)
    again.open()
    assert [job.name for job in again.all_of("anna")] == [first.name, second.name]
    assert again.own("anna", first.name).state == replace(first.state, state="queued")
    assert again.own("anna", second.name).state == second.state
    names = {path.name for path in (tmp_path / "jobs").iterdir()}
    assert names == {first.name, second.name}


def test_a_job_is_forgotten_when_its_time_is_over(all_jobs: Jobs, watch: Watch) -> None:
    async def live() -> None:
        old, running = await _add(all_jobs), await _add(all_jobs)
        await all_jobs.end(old, replace(old.state, state="done"))
        await all_jobs.prune()
        assert old in all_jobs.all_of("anna")
        watch.moment += timedelta(days=8)
        await all_jobs.prune()
        assert all_jobs.all_of("anna") == [running]
        assert not old.path.exists()

    asyncio.run(live())


def test_a_job_that_was_being_removed_when_predict_was_killed_is_gone(
    all_jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(path: Path, **_: object) -> None:
        (path / "00000.rows").unlink()
        raise Killed

    async def remove() -> None:
        job = await _add(all_jobs)
        await all_jobs.end(job, replace(job.state, state="done"))
        (job.path / "00000.rows").write_bytes(b"x")
        await all_jobs.cancel(job)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(Killed):
            asyncio.run(remove())
    again = Jobs(tmp_path / "jobs", Limits(), Watch())
    again.open()
    assert again.all_of("anna") == []
    assert list((tmp_path / "jobs").iterdir()) == []


def test_an_accepted_job_and_its_file_are_durable(
    all_jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, fsync, rename = [], os.fsync, Path.rename

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        if path.parent == tmp_path / "jobs":
            assert {path / INPUT, path} <= set(synced)
            synced.clear()
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "rename", renamed)
    job = asyncio.run(_add(all_jobs))
    assert job.path.is_dir()
    assert synced == [tmp_path / "jobs"]


def test_a_cancelled_job_is_not_overtaken_by_what_was_being_written(
    all_jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, begun, go_on = folder.write, threading.Event(), threading.Event()

    def slow(path: Path, entry: folder.State) -> None:
        if entry.state == "running":
            begun.set()
            go_on.wait()
        write(path, entry)

    async def cancel() -> Job:
        job = await _add(all_jobs)
        monkeypatch.setattr(folder, "write", slow)
        job.task = asyncio.create_task(all_jobs.book(job, replace(job.state, state="running")))
        await asyncio.to_thread(begun.wait)
        cancelling = asyncio.create_task(all_jobs.cancel(job))
        await asyncio.sleep(0.05)  # enough for the end to be written, were it not to wait
        go_on.set()
        await cancelling
        return job

    job = asyncio.run(cancel())
    assert folder.read_state(job.path) == job.state
    assert job.state.state == "cancelled"


def test_a_full_disk_forgets_the_upload_and_says_so(
    all_jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "write", full)
    path = all_jobs.upload("anna", 1)
    (path / INPUT).write_bytes(b"x")
    with pytest.raises(Problem) as problem:
        asyncio.run(all_jobs.add(path, ASKED))
    assert problem.value.status == 507
    assert all_jobs.all_of("anna") == []


def test_a_folder_that_cannot_be_read_is_no_job(all_jobs: Jobs, tmp_path: Path) -> None:
    job = asyncio.run(_add(all_jobs))
    (job.path / folder.STATE).write_bytes(b"{")
    again = Jobs(tmp_path / "jobs", Limits(), Watch())
    again.open()
    assert again.all_of("anna") == []
    assert shutil.disk_usage(tmp_path).free > 0


def test_on_a_full_disk_a_job_ends_with_the_room_that_its_input_took(
    all_jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, write = asyncio.run(_add(all_jobs)), folder.write

    def full(path: Path, entry: folder.State) -> None:
        if (path.parent / INPUT).exists():
            raise OSError(28, "No space left on device")
        write(path, entry)

    monkeypatch.setattr(folder, "write", full)
    asyncio.run(all_jobs.end(job, replace(job.state, state="done")))
    assert folder.read_state(job.path) == job.state
    assert job.state.state == "done"
