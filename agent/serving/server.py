"""The process: one thread answers HTTP, the main one follows `releases/active`."""

import asyncio
import errno
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import uvicorn
import uvloop
from fastapi import FastAPI

from agent import clock, log
from agent.config import ServeSection
from agent.errors import Stop, TryLater
from agent.files import write_atomic
from agent.notify import NOBODY, Notify
from agent.releases.attempts import Attempts
from agent.serving import connections, me, oip, pages, swagger
from agent.serving.app import Room, create_app
from agent.serving.batch.conductor import Conductor
from agent.serving.batch.jobs import Jobs
from agent.serving.batch.jobs import Limits as BatchLimits
from agent.serving.batch.routes import BATCH
from agent.serving.batch.routes import room as batch_room
from agent.serving.connections import Limits
from agent.serving.door import Door
from agent.serving.patience import Patience, Terms
from agent.serving.percentiles import Percentiles
from agent.serving.pool import Pool
from agent.serving.questions import Questions
from agent.serving.reference_room import reference_room, shows
from agent.serving.rehearsal import Rehearsal
from agent.serving.remote import RemoteRelease
from agent.serving.shown import Shown
from agent.serving.swap import Models, Serving

STATUS, JOBS = "status.json", "jobs"
_LOGGER = logging.getLogger(__name__)
_POLL_S = 0.5
_HEARTBEAT_S = 10.0
_TURN_S = 1.0
_BACKLOG = 1024
_STALLED_MS = 60_000
_GRACE_S = 20  # for calls in flight when the process is told to stop


def serve(
    releases: Path,
    state: Path,
    section: ServeSection,
    stop: threading.Event,
    silo: str = "",
    notify: Notify = NOBODY,
) -> None:
    """Serves predictions until `stop` is set, and finishes the calls in flight.

    Whoever calls it sets `stop` from its own signal handler; none is installed here.

    Args:
        releases: The folder of all releases; it may be empty, or not there yet.
        state: Predict's own folder: the account of attempts, `status.json`, tokens, audit log.
        section: Where to listen, and whom to answer; port 0 is a free one, which `status.json`
            names. `threads` processes work on large calls; two more answer single molecules.
        stop: Set it to end.
        silo: The company's name, for the page.
        notify: Hears that both threads go on; if one hangs, there is silence.

    Raises:
        Stop: The address cannot be listened on, or the state folder not be written at the start;
            access, TLS or audit log cannot work as configured.
        TryLater: Another process holds the address, or the HTTP thread ended by itself.
    """
    door = Door(section, state)
    listener = _listen(section.host, section.port)
    status = _Status(state, section.host, listener.getsockname()[1])
    pool = Pool(releases, section.threads, stop=stop)
    load = partial(RemoteRelease.load, pool=pool)
    models = Models(releases, Attempts(state), load, rehearse=Rehearsal(pool))
    width = 2 * section.threads  # the next piece is there when one is done
    jobs = Jobs(state / JOBS, BatchLimits(section.batch_bytes, section.batch_days), clock.now)
    shown = Shown.beside(releases)
    questions = Questions(pool)
    percentiles = Percentiles(models, questions, shown, state)
    there = partial(shows, shown=shown, percentiles=percentiles)
    rooms: list[Room] = [partial(me.room, shows=there), oip.Room(models, pool, width), swagger.add]
    rooms += [batch_room(jobs, shown.for_caller)]
    rooms += [reference_room(models, questions, shown, percentiles), pages.room(silo)]
    app = create_app(models, pool, width, rooms, shown.for_caller)
    server = uvicorn.Server(_config(door, app, {BATCH: section.batch_bytes}))
    # Outside the main thread uvicorn leaves signals alone.
    http = _Http(server, notify)
    conductor = Conductor(jobs, models, pool, width, shown.current)
    behind = (conductor.running, percentiles.kept)
    work = http.answer(listener, pool, behind)
    thread = threading.Thread(target=_run, args=(work,), name="http", daemon=True)
    with listener, door:
        _write_first(status, models.serving())
        thread.start()
        try:
            _follow(models, pool, status, thread, http, stop)
        finally:
            notify.stopping()
            server.should_exit = True
            thread.join(_GRACE_S + 1)


def _write_first(status: "_Status", serving: Serving) -> None:
    try:
        status.write(serving, clock.monotonic_s())
    except OSError as error:
        raise Stop(
            f"Predict cannot write its state folder ({error.strerror}); "
            "check that it exists, its owner, and that the disk is not full."
        ) from error


def _follow(
    models: Models,
    pool: Pool,
    status: "_Status",
    thread: threading.Thread,
    http: "_Http",
    stop: threading.Event,
) -> None:
    while not clock.rest(stop, _POLL_S if models.current() else _POLL_S / 5):
        now_s = clock.monotonic_s()
        # What a load or a trial left behind: its release may be the one that was given up.
        pool.keep(models.serving().release)
        try:
            models.step(now_s)
            status.write(models.serving(), now_s)
        except TryLater:
            return  # a load was called off: `stop` is set
        except OSError as error:
            # A disk that filled up stops no chemist: what is loaded goes on answering.
            log.event(_LOGGER, "state_not_written", errno=error.errno)
        if not thread.is_alive():
            raise TryLater("The HTTP thread ended by itself; its log lines say why.")
        http.tell(models.serving())


class _Http:
    """The thread that answers, and what systemd is told of it and of the main one.

    Args:
        server: Answers.
        notify: Hears that it started, and then that both loops turn.
    """

    def __init__(self, server: uvicorn.Server, notify: Notify) -> None:
        self._server = server
        self._notify = notify
        self._turns = 0
        self._told = 0
        self._ready = False

    async def answer(
        self,
        listener: socket.socket,
        pool: Pool,
        behind: Sequence[Callable[[], AbstractAsyncContextManager[None]]],
    ) -> None:
        """Answers until the server is told to exit.

        Args:
            listener: Where calls come in.
            pool: Of workers.
            behind: What works while nobody waits for it.
        """
        turning = asyncio.create_task(self._turn())
        try:
            async with pool.running(), AsyncExitStack() as stack:
                for running in behind:
                    await stack.enter_async_context(running())
                await self._server.serve([listener])
        finally:
            turning.cancel()

    async def _turn(self) -> None:
        while True:
            self._turns += 1
            await asyncio.sleep(_TURN_S)

    def tell(self, serving: Serving) -> None:
        """Called by the main loop: says that it turns, if the loop of the answers did as well."""
        said = f"answers from {serving.release}" if serving.release else "no release yet"
        if self._server.started and not self._ready:
            self._notify.ready(said)
            self._ready = True
        if self._ready and self._turns != self._told:
            self._told = self._turns
            self._notify.alive(clock.monotonic_s(), said)


class _Status:
    """Writes `status.json` when something changed, and now and then as a sign of life."""

    def __init__(self, state: Path, host: str, port: int) -> None:
        self._path = state / STATUS
        self._address = {"host": host, "port": port, "pid": os.getpid()}
        self._last: Serving | None = None
        self._due_s = 0.0

    def write(self, serving: Serving, now_s: float) -> None:
        """Writes it if it is due.

        Raises:
            OSError: The disk is full or the folder is not writable.
        """
        if serving == self._last and now_s < self._due_s:
            return
        if self._last is not None and serving.problem != self._last.problem and serving.problem:
            log.event(_LOGGER, "not_as_wanted", problem=serving.problem)
        document = {
            "time": clock.to_text(clock.now()),
            **self._address,
            "ready": serving.release is not None,
            **asdict(serving),
        }
        write_atomic(self._path, json.dumps(document, indent=1).encode())
        self._last, self._due_s = serving, now_s + _HEARTBEAT_S


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # Accepted connections inherit it. asyncio sets it only where the socket names its protocol,
        # which this one does not: each answer on a kept connection would wait 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Inherited, too: a caller who takes no more of his answer is given up, and his answer with
        # him; uvicorn would keep both as long as he likes.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
    except OSError as error:
        # After a crash the process before this one may still be answering its last calls.
        kind = TryLater if error.errno == errno.EADDRINUSE else Stop
        raise kind(
            f"Predict cannot listen on {host} port {port} ({error.strerror}); "
            "choose another address or end the process that holds it."
        ) from error
    return listener


def _run(work: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def _config(door: Door, app: FastAPI, streamed: Mapping[str, int]) -> uvicorn.Config:
    limits = Limits(connections.most_connections())
    return uvicorn.Config(
        # Within the door: whom it refuses sends no body.
        door.around(Patience(app, Terms(streamed=streamed)), app.state.metrics),
        http=connections.protocol(limits),  # type: ignore[arg-type]  # called like the class
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_GRACE_S,
        **door.tls(),
    )
