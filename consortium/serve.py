"""The long-lived process: the HTTP server, and one thread that keeps the engine going."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from agent import clock, log
from agent.clock import Clock
from agent.files import exclusive
from consortium.answers import Registrar
from consortium.app import create_app
from consortium.engine import Engine
from consortium.enrol import Enrolment
from consortium.envelopes import Desk
from consortium.folder import Folder, Settings, load_settings, load_signers
from consortium.roots import root_in_force, settle_keys
from consortium.store import Store

_logger = logging.getLogger(__name__)
_TICK_S = 0.25
_AFTER_FAULT_S = 5.0


@dataclass(frozen=True, slots=True)
class Service:
    """What one serving process runs."""

    settings: Settings
    store: Store
    desk: Desk
    app: FastAPI
    engine: Engine


def build(folder: Folder, time: Clock = clock.now) -> Service:
    """Builds the application and the engine over one database.

    Raises:
        Stop: The folder is no aggregator's, or a key in it is missing or damaged.
    """
    settings, signers = load_settings(folder), load_signers(folder)
    registrar = Registrar(settings.consortium, signers.aggregator)
    store = Store(folder.database)
    with store.reading() as session:
        settle_keys(folder, root_in_force(session, folder))
    desk = Desk(store, folder.blobs, settings.consortium, registrar)
    enrolment = Enrolment(store, settings)
    return Service(
        settings=settings,
        store=store,
        desk=desk,
        app=create_app(store, folder, desk, enrolment, time),
        engine=Engine(store, folder, signers, registrar),
    )


def serve(folder: Folder) -> None:
    """Serves until a signal ends it; a kill at any moment loses nothing acknowledged.

    Raises:
        Stop: The folder is no aggregator's, or a key in it is missing or damaged.
        TryLater: Another process serves this folder.
    """
    load_settings(folder)  # before the lock file would be made in a folder that is not ours
    with exclusive(folder.lock):
        service = build(folder)
        try:
            with ticking(service.engine, clock.now):
                uvicorn.Server(_config(service, folder)).run()
        finally:
            service.store.close()


@contextmanager
def ticking(engine: Engine, time: Clock) -> Iterator[None]:
    """Runs the engine in a thread of its own for as long as the block lasts."""
    stop = threading.Event()
    thread = threading.Thread(target=_tick_until, args=(engine, time, stop), name="engine")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _tick_until(engine: Engine, time: Clock, stop: threading.Event) -> None:
    wait_s = 0.0
    while not stop.wait(wait_s):
        try:
            wait_s = 0.0 if engine.tick(time()) else _TICK_S
        except Exception:
            # The boundary of the thread: were it to end, rounds would stay open for ever while
            # the server goes on. Whatever it was, the rows are whole, so the step is tried again.
            _logger.exception("engine_tick_failed")
            wait_s = _AFTER_FAULT_S


def _config(service: Service, folder: Folder) -> uvicorn.Config:
    settings = service.settings
    log.event(_logger, "serving", host=settings.host, port=settings.port, tls=settings.tls)
    return uvicorn.Config(
        service.app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        # Long polls would otherwise hold up the end for their whole wait.
        timeout_graceful_shutdown=1,
        ssl_certfile=folder.certificate if settings.tls else None,
        ssl_keyfile=folder.tls_key if settings.tls else None,
    )
