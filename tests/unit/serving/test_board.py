import asyncio
import time

import pytest
import uvloop

from agent.serving import board
from agent.serving.board import Board, Full, Job, Seat


def _job(name: str) -> Job:
    return Job({"do": name}, b"", 1.0, asyncio.get_running_loop().create_future())


async def _names(of: Board, seat: Seat, count: int) -> list[object]:
    jobs = [await of.take(seat, 60.0) for _ in range(count)]
    return [job.head["do"] for job in jobs if job is not None]


def test_single_molecules_come_before_large_calls_and_a_seats_own_before_all() -> None:
    async def scene() -> list[object]:
        seat = Seat(quick=False)
        jobs = Board([seat])
        jobs.post(_job("large1"), quick=False)
        jobs.post(_job("large2"), quick=False)
        jobs.post(_job("quick"), quick=True)
        jobs.post_to(seat, _job("load"))
        return await _names(jobs, seat, 4)

    assert asyncio.run(scene()) == ["load", "quick", "large1", "large2"]


def test_a_quick_seat_never_takes_a_large_call() -> None:
    async def scene() -> list[object]:
        seat = Seat(quick=True)
        jobs = Board([seat])
        jobs.post(_job("large"), quick=False)
        waiting = asyncio.create_task(_names(jobs, seat, 1))
        await asyncio.sleep(0)
        assert not waiting.done()
        jobs.post(_job("large"), quick=False)
        jobs.post(_job("quick"), quick=True)
        return await waiting

    assert asyncio.run(scene()) == ["quick"]


def test_whoever_waits_is_given_what_comes_quick_seats_first() -> None:
    async def scene() -> tuple[list[object], list[object]]:
        large, quick = Seat(quick=False), Seat(quick=True)
        jobs = Board([large, quick])
        helper, own = (asyncio.create_task(_names(jobs, seat, 1)) for seat in (large, quick))
        await asyncio.sleep(0)
        jobs.post(_job("first"), quick=True)
        jobs.post(_job("second"), quick=True)  # the first one's seat has not come round yet
        return await own, await helper

    assert asyncio.run(scene()) == (["first"], ["second"])


def test_what_nobody_wants_any_more_is_left_out() -> None:
    async def scene() -> list[object]:
        seat = Seat(quick=True)
        jobs = Board([seat])
        given_up = _job("given up")
        jobs.post(given_up, quick=True)
        given_up.done.cancel()
        jobs.post(_job("wanted"), quick=True)
        return await _names(jobs, seat, 1)

    assert asyncio.run(scene()) == ["wanted"]


def test_too_many_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "_MOST_WAITING", 2)

    async def scene() -> None:
        jobs = Board([Seat(quick=True)])
        for name in ("a", "b"):
            jobs.post(_job(name), quick=False)
        with pytest.raises(Full):
            jobs.post(_job("c"), quick=False)
        jobs.post(_job("d"), quick=True)

    asyncio.run(scene())


def test_a_seat_looks_up_when_nothing_comes() -> None:
    async def scene() -> list[object]:
        seat = Seat(quick=True)
        jobs = Board([seat])
        assert await jobs.take(seat, 0.0) is None
        jobs.post(_job("later"), quick=True)
        return await _names(jobs, seat, 1)

    assert asyncio.run(scene()) == ["later"]


def test_what_is_handed_over_as_patience_runs_out_is_not_lost() -> None:
    async def late() -> Job | None:
        seat = Seat(quick=True)
        jobs = Board([seat])
        waiting = asyncio.create_task(jobs.take(seat, 0.01))
        await asyncio.sleep(0)
        time.sleep(0.05)
        jobs.post(_job("quick"), quick=True)
        return await waiting

    # uvloop runs timers before what became ready, so that the timeout comes first there.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(late()) is not None
