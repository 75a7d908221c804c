import asyncio

import pytest

from agent.serving.asking import in_order
from agent.serving.frames import Frame
from agent.serving.problems import Problem


def test_answers_come_in_the_order_of_the_pieces() -> None:
    at_once, most = 0, 0

    async def ask(piece: bytes) -> Frame:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.002 * (10 - int(piece)))  # the last is done first
        at_once -= 1
        return {}, piece

    pieces = [str(n).encode() for n in range(10)]
    answers = asyncio.run(in_order(ask, pieces, 4))
    assert [body for _, body in answers] == pieces
    assert most == 4
    assert asyncio.run(in_order(ask, [], 4)) == []


def test_the_first_problem_ends_the_others() -> None:
    ended = []

    async def ask(piece: bytes) -> Frame:
        if piece == b"1":
            raise Problem(503, "busy", "So.")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(piece)
        return {}, piece

    async def call() -> None:
        with pytest.raises(Problem, match="busy"):
            await in_order(ask, [b"0", b"1", b"2"], 3)
        await asyncio.sleep(0)
        assert ended == [b"0", b"2"]

    asyncio.run(call())
