import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.releases.card import ModelCard
from agent.serving import bodies, process
from agent.serving.bodies import Asked
from agent.serving.frames import Frame
from agent.serving.process import Lost, WorkerProcess

Build = Callable[..., ModelCard]

# Within every limit, and yet a third of a second of RDKit's time, which nothing can interrupt.
HOSTILE = "CC" + ".*" * 990
PREDICT = {"do": "predict", "release": "r1"}


def _piece(*smiles: str) -> bytes:
    return bodies.chunks([Asked(text, "smiles") for text in smiles])[0]


async def _asked(releases: Path, deadline_s: float, body: bytes) -> Frame:
    worker = await WorkerProcess.start(process.command(releases, deadline_s, nice=True))
    try:
        await worker.ask({"do": "split"}, b'{"smiles": []}', 60.0)
        return await worker.ask(PREDICT, body, 60.0)
    finally:
        await worker.end()
        worker.forget()


def test_it_answers_from_a_process_of_its_own(install: Build, releases: Path) -> None:
    install("r1", 1)
    head, rendered = asyncio.run(_asked(releases, 60.0, _piece("CCO", "no")))
    assert head == {"good": 1, "bad": 1, "failed": 0}
    assert rendered.startswith(b'{"smiles": "CCO"')


def test_a_structure_over_its_deadline_ends_it_and_is_named(install: Build, releases: Path) -> None:
    install("r1", 1)
    with pytest.raises(Lost) as caught:
        asyncio.run(_asked(releases, 0.05, _piece("C", "CC", HOSTILE, "C")))
    assert (caught.value.place, caught.value.late) == (2, True)


def test_a_hang_is_ended_and_a_kill_is_noticed(releases: Path) -> None:
    async def lost(number: signal.Signals, limit_s: float) -> Lost:
        worker = await WorkerProcess.start(process.command(releases, 60.0, nice=False))
        await worker.ask({"do": "split"}, b'{"smiles": []}', 60.0)
        os.kill(worker.pid, number)
        with pytest.raises(Lost) as caught:
            await worker.ask({"do": "split"}, b'{"smiles": []}', limit_s)
        worker.forget()
        return caught.value

    for number, limit_s, why in (
        (signal.SIGSTOP, 0.1, "It did not load within 0 s."),
        (signal.SIGKILL, 60.0, "The process that tried it was ended by signal 9."),
    ):
        gone = asyncio.run(lost(number, limit_s))
        assert (gone.place, gone.late) == (None, False)
        assert gone.why == why


def test_it_ends_when_the_other_end_closes(releases: Path) -> None:
    async def status() -> int:
        worker = await WorkerProcess.start(process.command(releases, 60.0, nice=False))
        await worker.ask({"do": "split"}, b'{"smiles": []}', 60.0)
        worker._writer.close()
        await worker._wait(60.0)
        await worker.end()
        worker.forget()
        return worker._process.returncode

    assert asyncio.run(status()) == 0
