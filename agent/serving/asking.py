"""How a call is answered: in pieces, by the release that serves or by the one before it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from agent import log
from agent.errors import Refused
from agent.serving.answers import Answering
from agent.serving.frames import Frame
from agent.serving.problems import Problem
from agent.serving.swap import Models

_LOGGER = logging.getLogger(__name__)
_RETRY_AFTER_S = 5
# What a release on trial is not blamed for: nothing failed, or the one before would say the same.
_NOT_ITS_FAULT = frozenset({"busy", "bad_structure", "unknown_endpoint"})

T = TypeVar("T")


def loaded(models: Models) -> Answering:
    """Returns the release that serves.

    Raises:
        Problem: 503 `no_release`.
    """
    predictor = models.current()
    if predictor is None:
        raise Problem(
            503,
            "no_release",
            f"No model is loaded yet: {models.serving().problem} Try again in a while.",
            {"Retry-After": str(_RETRY_AFTER_S)},
        )
    return predictor


def failed(answers: Sequence[Frame]) -> bool:
    """Tells whether a release gave no number for a structure that was fine."""
    return any(head["failed"] for head, _ in answers)


async def best(
    models: Models,
    ask: Callable[[Answering], Awaitable[T]],
    failed: Callable[[T], bool] = lambda _: False,
) -> tuple[Answering, T]:
    """Asks the release that serves; where it fails on trial, the one before answers instead.

    Raises:
        Problem: 503 `no_release`, or what the asking raises.
        Refused: What the asking raises.
    """
    release = loaded(models)
    stand_in = models.stand_in(release)
    if stand_in is None:
        return release, await ask(release)
    try:
        answer = await ask(release)
    except (Problem, Refused) as error:
        if error.code in _NOT_ITS_FAULT:
            raise
        log.event(_LOGGER, "trial_failed", release=release.card.release_id, code=error.code)
    except Exception:
        # The boundary: whatever a new release does on trial, the old one is at hand.
        _LOGGER.warning("trial_raised", exc_info=True)
    else:
        if not failed(answer):
            return release, answer
    answer = await ask(stand_in)
    if not failed(answer):
        models.strike(release)
    return stand_in, answer


async def in_order(
    ask: Callable[[bytes], Awaitable[Frame]], pieces: Sequence[bytes], width: int
) -> list[Frame]:
    """Returns each piece's answer, in order; so many are asked about at the same time.

    Raises:
        Problem: The first that a piece met; the others are given up.
    """
    if len(pieces) == 1:
        return [await ask(pieces[0])]
    room = asyncio.Semaphore(width)

    async def one(piece: bytes) -> Frame:
        async with room:
            return await ask(piece)

    tasks = [asyncio.create_task(one(piece)) for piece in pieces]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
