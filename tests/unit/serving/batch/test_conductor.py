import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from agent.releases.attempts import Attempts
from agent.releases.card import ModelCard
from agent.releases.folder import activate
from agent.serving.batch import clerks, conductor, folder
from agent.serving.batch.conductor import Conductor
from agent.serving.batch.folder import INPUT, Request
from agent.serving.batch.jobs import Job, Jobs, Limits
from agent.serving.batch.pieces import read_piece
from agent.serving.batch.split import split
from agent.serving.frames import Frame
from agent.serving.predictor import Predictor
from agent.serving.problems import Problem
from agent.serving.shown import Shown
from agent.serving.swap import Models
from agent.serving.worker import Desk
from tests.kit.references import NAME, lay_out

Build = Callable[..., ModelCard]
NOW = datetime(2026, 1, 2, tzinfo=UTC)
ANSWERED = {
    *(f"0000{at}.{kind}" for at in range(3) for kind in (folder.ROWS, folder.SAID)),
    *(folder.REQUEST, folder.STATE, folder.TABLE, folder.RELEASE),
}
BUSY = Problem(503, "busy", "Later.")
SLOW = Problem(422, "too_slow", "One by one.")


class Workers:
    """Answers as the pool's workers do; each call may be met by something else first."""

    def __init__(self, releases: Path) -> None:
        self._desk = Desk(releases, lambda structures, _start: structures)
        self.meets: list[Callable[[list[str]], None]] = []
        self.asked: list[tuple[str, int]] = []
        self.references: set[str] = set()

    async def figures(self, release: str, piece: bytes, reference: str = "") -> Frame:
        texts = [text for text, _ in read_piece(piece)]
        self.asked.append((release, len(texts)))
        self.references.add(reference)
        await asyncio.sleep(0)
        for meet in self.meets:
            meet(texts)
        asks = {"do": "figures", "release": release, "reference": reference}
        return self._desk.reply(asks, piece)


class Bench:
    """Jobs, a release and a conductor, without processes."""

    def __init__(self, root: Path, releases: Path) -> None:
        self.root = root
        self.models = Models(releases, Attempts(root), partial(Predictor.load, threads=1))
        self.workers = Workers(releases)
        self.jobs = Jobs(root / "jobs", Limits(), lambda: NOW)
        self.shown = Shown.beside(releases)

    async def add(self, rows: int, part: int = 10, *, measured: bool = False) -> Job:
        path = self.jobs.upload("anna", None)
        lines = ["smiles", *("C" * (1 + at % 5) + "O" for at in range(rows))]
        (path / INPUT).write_text("\n".join(lines))
        request = Request("", "anna", "", "csv", "", "", 0, part, measured)
        return await self.jobs.add(path, request)

    def run(self, use: Callable[["Bench"], Awaitable[Job]]) -> Job:
        """Does something while the conductor works; returns its job once it has ended."""

        async def whole() -> Job:
            parties = (self.jobs, self.models, self.workers)
            async with Conductor(*parties, 2, self.shown.current).running():
                job = await use(self)
                while job.state.state not in folder.ENDED:
                    await asyncio.sleep(0.01)
                return job

        return asyncio.run(whole())


@pytest.fixture
def bench(tmp_path: Path, releases: Path, install: Build, monkeypatch: pytest.MonkeyPatch) -> Bench:
    for version, name in enumerate(("r1", "r2"), start=1):
        install(name, version, level=float(version))

    async def parts(job: Path) -> AsyncGenerator[int, None]:
        for rows in list(split(job)):  # the clerk is ahead of the workers
            yield rows

    monkeypatch.setattr(clerks, "parts", parts)
    monkeypatch.setattr(conductor, "_PAUSE_S", 0.01)
    activate(releases, "r1")
    made = Bench(tmp_path, releases)
    made.models.step(0.0)
    return made


def test_a_job_is_answered_part_by_part(bench: Bench) -> None:
    job = bench.run(lambda bench: bench.add(25))
    state = job.state
    assert (state.state, state.total, state.done, state.bad) == ("done", 25, 25, 0)
    assert (state.parts, state.release) == (3, "r1")
    assert json.loads((job.path / folder.STATE).read_bytes())["state"] == "done"
    assert {path.name for path in job.path.iterdir()} == ANSWERED


@pytest.mark.parametrize("measured", [True, False])
def test_what_was_measured_is_asked_for_where_the_caller_may_see_it(
    bench: Bench, *, measured: bool
) -> None:
    lay_out(bench.shown.reference)
    job = bench.run(lambda bench: bench.add(12, measured=measured))
    assert bench.workers.references == {NAME if measured else ""}
    assert job.state.measured is measured
    assert folder.read_state(job.path).measured is measured


def test_an_empty_table_is_done_at_once(bench: Bench) -> None:
    job = bench.run(lambda bench: bench.add(0))
    assert (job.state.state, job.state.total) == ("done", 0)


def test_a_file_that_cannot_be_used_fails_with_its_sentence(bench: Bench) -> None:
    async def add(bench: Bench) -> Job:
        path = bench.jobs.upload("anna", None)
        (path / INPUT).write_text("a,b\n1,2\n")
        return await bench.jobs.add(path, Request("", "anna", "", "", "", "", 0, 10))

    state = bench.run(add).state
    assert (state.state, state.problem[0]) == ("failed", "no_structures")


def test_workers_that_are_busy_are_asked_again(bench: Bench) -> None:
    def busy(_texts: list[str]) -> None:
        if len(bench.workers.asked) < 5:
            raise BUSY

    bench.workers.meets.append(busy)
    assert bench.run(lambda bench: bench.add(25)).state.state == "done"


def test_a_piece_that_takes_too_long_is_taken_apart(bench: Bench) -> None:
    def slow(texts: list[str]) -> None:
        if "CCO" in texts:
            raise SLOW

    bench.workers.meets.append(slow)
    state = bench.run(lambda bench: bench.add(25)).state
    assert (state.state, state.done, state.bad, state.hostile) == ("done", 25, 5, 5)


def test_a_job_of_hostile_structures_is_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "_MOST_HOSTILE", 12)

    def slow(_texts: list[str]) -> None:
        raise SLOW

    bench.workers.meets.append(slow)
    state = bench.run(lambda bench: bench.add(60)).state
    assert (state.state, state.problem[0]) == ("failed", "too_slow")
    assert state.done < 60


def test_a_fault_of_our_own_fails_one_job_and_not_the_next(bench: Bench) -> None:
    def wrong(_texts: list[str]) -> None:
        raise RuntimeError

    async def two(bench: Bench) -> Job:
        bench.workers.meets.append(wrong)
        first = await bench.add(5)
        while first.state.state != "failed":
            await asyncio.sleep(0.01)
        assert first.state.problem[0] == "internal"
        bench.workers.meets.clear()
        return await bench.add(5)

    assert bench.run(two).state.state == "done"


def test_after_a_swap_a_job_ends_with_the_release_it_began_with(
    bench: Bench, releases: Path
) -> None:
    def swap(_texts: list[str]) -> None:
        # Two pieces may be on their way at once, so the count may jump.
        if len(bench.workers.asked) >= 2:
            activate(releases, "r2")
            bench.models.step(1.0)

    bench.workers.meets.append(swap)
    state = bench.run(lambda bench: bench.add(40)).state
    assert (state.state, state.release, state.note) == ("done", "r1", "")
    assert {release for release, _ in bench.workers.asked} == {"r1"}
    current = bench.models.current()
    assert current is not None
    assert current.card.release_id == "r2"


def test_what_a_release_on_trial_fails_is_answered_by_the_one_before_from_the_start(
    bench: Bench, releases: Path
) -> None:
    activate(releases, "r2")
    bench.models.step(1.0)

    def fail(_texts: list[str]) -> None:
        if bench.workers.asked[-1][0] == "r2" and len(bench.workers.asked) > 2:
            raise SLOW

    bench.workers.meets.append(fail)
    state = bench.run(lambda bench: bench.add(40)).state
    assert (state.state, state.release, state.done) == ("done", "r1", 40)


def test_a_job_of_an_earlier_process_goes_on(bench: Bench) -> None:
    def hold(_texts: list[str]) -> None:
        if len(bench.workers.asked) > 20:
            raise BUSY

    bench.workers.meets.append(hold)

    async def cut(bench: Bench) -> str:
        async with Conductor(bench.jobs, bench.models, bench.workers, 2).running():
            job = await bench.add(400)
            while job.state.parts < 5:
                await asyncio.sleep(0.01)
            return job.name

    name = asyncio.run(cut(bench))
    bench.workers.meets.clear()
    bench.workers.asked.clear()
    bench.jobs = Jobs(bench.root / "jobs", Limits(), lambda: NOW)

    async def find(bench: Bench) -> Job:
        return bench.jobs.own("anna", name)

    job = bench.run(find)
    assert (job.state.state, job.state.done, job.state.parts) == ("done", 400, 40)
    assert 0 < sum(rows for _, rows in bench.workers.asked) <= 350


def test_a_cancelled_job_stops_and_the_next_one_is_taken(bench: Bench) -> None:
    async def cancel(bench: Bench) -> Job:
        first = await bench.add(2000)
        while not first.state.parts:
            await asyncio.sleep(0.01)
        await bench.jobs.cancel(first)
        assert first.state.state == "cancelled"
        assert first.state.done < 2000
        return await bench.add(5)

    assert bench.run(cancel).state.state == "done"


class Killed(BaseException):
    """Nothing may catch it: the process is gone."""


def _kill_at(state: str, *, written: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills at the end of a job, before or after its state is on the disk."""
    write = folder.write

    def killed(path: Path, entry: folder.State) -> None:
        ends = path.name == folder.STATE and entry.state == state
        if written or not ends:
            write(path, entry)
        if ends:
            raise Killed

    monkeypatch.setattr(folder, "write", killed)


def _after_a_restart(bench: Bench, job: Job) -> Job:
    async def find(bench: Bench) -> Job:
        return bench.jobs.own("anna", job.name)

    bench.jobs = Jobs(bench.root / "jobs", Limits(), lambda: NOW)
    return bench.run(find)


@pytest.mark.parametrize("written", [False, True])
def test_a_job_that_was_answered_when_predict_was_killed_is_done_in_the_end(
    bench: Bench, releases: Path, monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    async def answer() -> Job:
        await asyncio.to_thread(bench.jobs.open)
        job = await bench.add(25)
        with suppress(Killed):
            await Conductor(bench.jobs, bench.models, bench.workers, 2)._try(job)
        return job

    with monkeypatch.context() as patch:
        _kill_at("done", written=written, monkeypatch=patch)
        killed = asyncio.run(answer())
    activate(releases, "r2")  # meanwhile: a job that is not done begins anew
    bench.models = Models(releases, Attempts(bench.root), partial(Predictor.load, threads=1))
    bench.models.step(0.0)
    job = _after_a_restart(bench, killed)
    assert (job.state.state, job.state.done) == ("done", 25)
    assert job.state.release == ("r1" if written else "r2")
    assert {path.name for path in job.path.iterdir()} == ANSWERED


@pytest.mark.parametrize(("written", "end"), [(False, "done"), (True, "cancelled")])
def test_a_job_whose_cancelling_was_killed_is_whole_or_cancelled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, written: bool, end: str
) -> None:
    async def cancel() -> Job:
        await asyncio.to_thread(bench.jobs.open)
        job = await bench.add(25)
        with suppress(Killed):
            await bench.jobs.cancel(job)
        return job

    with monkeypatch.context() as patch:
        _kill_at("cancelled", written=written, monkeypatch=patch)
        killed = asyncio.run(cancel())
    job = _after_a_restart(bench, killed)
    assert (job.state.state, job.state.problem) == (end, ())
    assert not (job.path / INPUT).exists()
