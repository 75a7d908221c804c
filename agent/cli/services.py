"""Commands that run a service, or one job of a worker."""

import signal
import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from agent import clock
from agent.cli.credentials import CREDENTIALS, ring_of
from agent.cli.reload import Reload
from agent.config import Config, Paths, load, make_folder
from agent.errors import Stop, TryLater
from agent.notify import Notify

if TYPE_CHECKING:
    from agent.exchange.places import Places

_SUPERVISED = click.option("--supervised", is_flag=True, hidden=True)


def stop_event(*, supervised: bool) -> Event:
    """Returns an event that SIGTERM and SIGINT set, and do nothing else."""
    from agent.supervisor import die_with_parent

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if supervised:
        die_with_parent()
    return stop


@click.command()
@_SUPERVISED
@click.pass_obj
def run(config_path: Path, supervised: bool) -> None:
    """Run keeper, courier, predict and the database readers as children of this process."""
    from agent.supervisor import supervise

    config = load(config_path)
    readers = [store.name for store in config.store if store.kind == "database"]
    start = ["--config", str(config_path)]
    names = ("keeper", "courier", "serve") if _has_courier(config) else ("keeper", "serve")
    services = {name: [*start, name, "--supervised"] for name in names}
    services |= {f"reader@{name}": [*start, "reader", name, "--supervised"] for name in readers}
    supervise(services, stop_event(supervised=supervised))


def _has_courier(config: Config) -> bool:
    """Tells whether this silo runs a courier, or a person carries for it."""
    return config.exchange.carrier == "https" or config.exchange.folder is not None


@click.command()
@_SUPERVISED
@CREDENTIALS
@click.pass_obj
def keeper(config_path: Path, supervised: bool, credentials: Path | None) -> None:
    """Watch the stores, order curation and training, seal updates, gate releases. No network."""
    from queue import SimpleQueue

    from agent.keeper import assemble
    from agent.keeper.loop import STOP, stop_on_signals
    from agent.supervisor import die_with_parent

    config, ring = load(config_path), ring_of("keeper", config_path, credentials)
    queue: SimpleQueue[str] = SimpleQueue()
    stop_on_signals(queue)
    if supervised:
        die_with_parent()
    notify = Notify.from_environment()
    with (
        Reload(config_path, lambda: queue.put(STOP), notify),
        assemble.keeper(config, queue, clock.now, notify, ring) as built,
    ):
        built.run()


@click.command()
@_SUPERVISED
@CREDENTIALS
@click.pass_obj
def courier(config_path: Path, supervised: bool, credentials: Path | None) -> None:
    """Carry sealed envelopes out and signed files in; reads no data and holds no signing key."""
    from agent.exchange.places import Places
    from agent.key_ring import Rings

    config = load(config_path)
    if not _has_courier(config):
        raise Stop(
            "No courier runs here: exchange.carrier is a folder, and exchange.folder names none "
            "to watch. Carry with `onggi carry`, or name one."
        )
    rings = Rings(courier=ring_of("courier", config_path, credentials))
    stop, notify = stop_event(supervised=supervised), Notify.from_environment()
    with Reload(config_path, stop.set, notify):
        _carry(config, Places.under(config.site.state, rings), stop, notify)


def _carry(config: Config, places: "Places", stop: Event, notify: Notify) -> None:
    if config.exchange.carrier == "folder" and config.exchange.folder is not None:
        from agent.exchange.carry import watch

        canary = config.releases.channel == "canary"
        folder = config.exchange.folder
        watch(places, folder, stop, clock=clock.now, canary=canary, notify=notify)
        return
    from agent.exchange.courier import (  # loads an HTTP library, which tries sockets at once
        Terms,
        carry,
    )
    from agent.exchange.lanes import Pace

    pace = Pace(poll_s=int(config.courier.poll_s), retry_cap_s=config.courier.retry_max_s)
    carry(
        places,
        stop,
        clock=clock.now,
        pace=pace,
        terms=Terms(config.releases.channel == "canary", config.exchange.ca_file),
        notify=notify,
    )


@click.command()
@_SUPERVISED
@click.pass_obj
def serve(config_path: Path, supervised: bool) -> None:
    """Serve predictions from the active release."""
    from agent.serving.server import serve as serve_until

    config = load(config_path)
    paths = Paths(config.site.state)
    make_folder(paths.predict)  # the only folder that it may write
    stop, notify = stop_event(supervised=supervised), Notify.from_environment()
    with Reload(config_path, stop.set, notify):
        serve_until(
            paths.releases, paths.predict, config.serve, stop, config.site.legal_entity, notify
        )


@click.command(hidden=True)
@click.argument("releases", type=click.Path(path_type=Path, file_okay=False))
@click.option("--channel", type=int, required=True, help="The socket to predict.")
@click.option("--place", type=int, required=True, help="The file of the structure it reads.")
@click.option("--deadline-s", type=float, required=True, help="Processor time of a structure.")
@click.option("--nice", is_flag=True, help="Step back behind the others.")
@click.option("--trial", expose_value=False, help="Shown in lists of processes: what it tries.")
def predict_worker(releases: Path, channel: int, place: int, deadline_s: float, nice: bool) -> None:
    """Do the chemistry that predict hands over."""
    import socket

    from agent.serving.worker import work as answer

    # What a terminal's Ctrl-C or a supervisor's signal means is for predict to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer(releases, socket.socket(fileno=channel), place, deadline_s, nice)


@click.command()
@click.argument("store")
@click.option("--once", is_flag=True, help="Read what is new and end.")
@_SUPERVISED
@click.pass_obj
def reader(config_path: Path, store: str, once: bool, supervised: bool) -> None:
    """Read one configured database into its spool folder, again and again."""
    config = load(config_path)
    stop, notify = stop_event(supervised=supervised), Notify.from_environment()
    with Reload(config_path, stop.set, notify):
        _read_until(config, store, stop, notify, once=once)


def _read_until(config: Config, name: str, stop: Event, notify: Notify, *, once: bool) -> None:
    from agent.stores.database import Source
    from agent.stores.reader import read_until

    stores = [store for store in config.store if store.name == name and store.kind == "database"]
    if not stores:
        raise Stop(f"No store of kind 'database' is named {name}; see `onggi check-config`.")
    (store,) = stores
    source = Source(
        url=store.url,
        query=store.query,
        watermark_column=store.watermark,
        key_column=store.key,
        password_file=store.password_file,
        store=store.name,
        overlap_s=store.overlap_s,
    )
    spool = Paths(config.site.state).spool / store.name
    read_until(source, spool, store.poll_s, stop, once=once, notify=notify)


@click.command(hidden=True)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option("--parent", type=int, required=True, help="The keeper's process id.")
def work(folder: Path | None, parent: int) -> None:
    """Do one job that the keeper ordered; without FOLDER, wait until standard input names it."""
    from agent.keeper import worker

    if folder is None:
        worker.stand_by(parent, sys.stdin)
        return
    if not (folder / "order.json").exists():
        raise TryLater(f"There is no order in {folder}; only the keeper starts workers.")
    worker.work(folder, parent)
