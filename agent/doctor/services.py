"""Which checks each service does; without a service, those of the host alone."""

from collections.abc import Callable, Iterator
from pathlib import Path

from agent.clock import Clock
from agent.config import Config, Paths
from agent.doctor import engine, host, telemetry, walls
from agent.doctor.finding import Finding
from agent.key_file import Ring

SERVICES = ("keeper", "courier", "predict", "reader")
_SYSTEM = (
    Path("/etc"),
    Path("/etc/onggi"),
    Path("/usr"),
    Path("/usr/local/bin"),
    Path("/opt/onggi"),
)
# What opens the keeper's keys: while it runs, and at rest.
_OPENERS = (
    Path("/run/credentials/onggi-keeper.service/onggi-keys"),
    Path("/etc/onggi/credentials/onggi-keys.cred"),
)


def examine(
    service: str, config: Config, clock: Clock, *, store: str = "", ring: Ring | None = None
) -> list[Finding]:
    """Does the checks of one service in this process.

    Args:
        service: One of `SERVICES`, or empty for what is the host's.
        config: The configuration.
        clock: The time.
        store: The reader's store.
        ring: Opens the keys of this service, or None.
    """
    paths = Paths(config.site.state)
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "": lambda: _host(config, paths),
        "keeper": lambda: _keeper(config, paths, ring),
        "courier": lambda: _courier(config, paths, clock, ring),
        "predict": lambda: _predict(config, paths),
        "reader": lambda: _reader(config, paths, store),
    }
    return list(checks[service]())


def _folders(config: Config) -> list[tuple[str, Path]]:
    return [(store.name, store.path) for store in config.store if store.path is not None]


def _host(config: Config, paths: Paths) -> Iterator[Finding]:
    yield host.free_disk(paths.state)
    yield host.fsync_latency(paths.state)
    yield host.clock_kept()
    yield telemetry.no_telemetry([paths.state])
    yield from engine.findings(config.training.device, config.training.threads)


def _keeper(config: Config, paths: Paths, ring: Ring | None) -> Iterator[Finding]:
    yield walls.no_sockets()
    yield walls.no_way_out()
    yield from _walled(paths, paths.jobs)
    yield host.free_disk(paths.state)
    yield host.fsync_latency(paths.status)
    yield host.clock_kept()
    yield from host.stores_open(_folders(config))
    yield host.keys_closed(paths.keys, ring)
    yield from engine.findings(config.training.device, config.training.threads)


def _courier(config: Config, paths: Paths, clock: Clock, ring: Ring | None) -> Iterator[Finding]:
    from agent.doctor import way  # loads an HTTP library, which tries sockets at once

    yield from _sees_no_data(config, paths)
    yield from _walled(paths, paths.courier)
    yield walls.unwritable("outbox_closed", [paths.outbox, paths.trust])
    yield host.fsync_latency(paths.courier)
    yield host.keys_closed(paths.courier, ring)
    yield from way.findings(config, clock)


def _predict(config: Config, paths: Paths) -> Iterator[Finding]:
    yield walls.no_way_out()
    yield from _sees_no_data(config, paths)
    yield walls.unreadable("courier_key", [paths.courier / "courier.key", paths.outbox])
    yield from _walled(paths, paths.predict)
    yield walls.unwritable("releases_closed", [paths.releases, paths.status])
    yield host.fsync_latency(paths.predict)


def _reader(config: Config, paths: Paths, store: str) -> Iterator[Finding]:
    yield walls.no_way_out()
    yield from _sees_no_data(config, paths)
    others = [one for one in config.store if one.kind == "database" and one.name != store]
    yield walls.unreadable("other_spools", [paths.spool / one.name for one in others])
    passwords = [one.password_file for one in others if one.password_file is not None]
    yield walls.unreadable("other_passwords", passwords)
    yield from _walled(paths, paths.spool / store)
    yield host.fsync_latency(paths.spool / store)


def _sees_no_data(config: Config, paths: Paths) -> Iterator[Finding]:
    yield walls.unreadable("no_assays", [folder for _, folder in _folders(config)])
    kept = (paths.ledger, paths.parts, paths.snapshots, paths.models, paths.jobs)
    yield walls.unreadable("no_state", kept)
    yield walls.unreadable("no_signing_key", [paths.keys, paths.keys / "sign.key", *_OPENERS])


def _walled(paths: Paths, own: Path) -> Iterator[Finding]:
    yield walls.no_ring()
    yield walls.unwritable("system_closed", _SYSTEM)
    yield walls.nothing_runs_from(own)
    yield telemetry.no_telemetry([paths.state, own])
