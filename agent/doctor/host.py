"""What must work on the host: disk, clock, stores, keys."""

import os
import shutil
import statistics
from collections.abc import Iterable
from pathlib import Path

from agent.clock import monotonic_s
from agent.doctor.finding import Finding, failed, not_here, ok
from agent.doctor.walls import can_write
from agent.errors import Stop
from agent.files import write_atomic
from agent.key_file import Ring, rests_sealed

_WRITES = 15
_SLOW_MS = 250.0
_LEAST_FREE = 2 * 2**30
_GIB = 2**30
_SYNCHRONIZED = Path("/run/systemd/timesync/synchronized")
_OPEN_BITS = 0o077


def fsync_latency(folder: Path) -> Finding:
    """Writes small durable files as the program does, and takes the median."""
    probe, spent_ms = folder / f".onggi-doctor-{os.getpid()}.fsync", []
    try:
        for _ in range(_WRITES):
            started_s = monotonic_s()
            write_atomic(probe, b"x" * 4096)
            spent_ms.append(1000 * (monotonic_s() - started_s))
    except OSError as error:
        return failed(
            "fsync", f"{folder} cannot be written ({error.strerror}); check its owner and the disk."
        )
    finally:
        probe.unlink(missing_ok=True)
    median_ms = statistics.median(spent_ms)
    said = (
        f"A durable write takes {median_ms:.1f} ms (the slowest of {_WRITES}: {max(spent_ms):.1f})."
    )
    if median_ms <= _SLOW_MS:
        return ok("fsync", said)
    return failed("fsync", f"{said} Put the state on a disk of this host, not on a share.")


def free_disk(folder: Path, least: int = _LEAST_FREE) -> Finding:
    """Looks at the room where the state is.

    Args:
        folder: Any folder on it.
        least: Bytes that must be free.
    """
    usage = shutil.disk_usage(folder)
    said = f"{usage.free / _GIB:.1f} of {usage.total / _GIB:.1f} GiB are free."
    if usage.free >= least:
        return ok("disk", said)
    return failed("disk", f"{said} Free some, or mount a larger disk at {folder}.")


def clock_kept(mark: Path = _SYNCHRONIZED) -> Finding:
    """Tells whether systemd-timesyncd keeps the clock; other services leave no such mark."""
    if mark.exists():
        return ok("clock_kept", "systemd-timesyncd keeps the clock.")
    return not_here(
        "clock_kept", "systemd-timesyncd does not keep the clock; see `chronyc tracking`."
    )


def stores_open(stores: Iterable[tuple[str, Path]]) -> list[Finding]:
    """Tries to read each store, which must not be writable.

    Args:
        stores: Name and folder of each.
    """
    found = [_store(name, folder) for name, folder in stores]
    return found or [not_here("store", "No store with a folder is configured.")]


def _store(name: str, folder: Path) -> Finding:
    label = f"store_{name}"
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as error:
        return failed(
            label,
            f"{folder} cannot be read ({error.strerror}); make it readable for the group "
            f"onggi-keeper: chgrp onggi-keeper {folder} && chmod 2770 {folder}.",
        )
    if can_write(folder):
        return failed(
            label, f"{folder} can be written from here; the unit must have ProtectSystem=strict."
        )
    return ok(label, f"{folder} can be read and not written.")


def keys_closed(folder: Path, ring: Ring | None) -> Finding:
    """Looks at the modes of the keys, and says how they rest.

    Args:
        folder: Where `*.key` are.
        ring: What systemd handed to this unit to open them, or None.
    """
    try:
        keys = sorted(folder.glob("*.key"))
        open_keys = [key for key in keys if key.stat().st_mode & _OPEN_BITS]
        closed = [key for key in keys if not os.access(key, os.R_OK)]
    except OSError as error:
        return failed(
            "keys", f"{folder} cannot be read ({error.strerror}); enrol, or see its owner."
        )
    if open_keys:
        names = " ".join(map(str, open_keys))
        return failed("keys", f"Others can read a key: chmod 0400 {names}.")
    if closed:
        return failed(
            "keys", "A key belongs to another user: systemd-tmpfiles --create onggi.conf."
        )
    if not keys:
        return not_here("keys", f"No key is in {folder}; the silo is not enrolled.")
    return _how_they_rest(keys, ring)


def _how_they_rest(keys: list[Path], ring: Ring | None) -> Finding:
    try:
        plain = sum(not rests_sealed(key, ring) for key in keys)
    except Stop as error:
        return failed("keys", str(error))
    if not plain:
        return ok("keys", f"{len(keys)} keys rest sealed; a systemd credential opens them.")
    if ring is not None:
        return ok("keys", f"{plain} keys rest as plain files; the next start seals them.")
    said = f"{plain} keys rest as plain files of mode 0400 or 0600, not sealed by a credential."
    return ok("keys", f"{said} From systemd 250 on install.sh makes one.")
