"""What must not work: each check really tries it, and undoes what it did where it worked."""

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

from agent.doctor.finding import Finding, failed, not_here, ok

_FAMILIES = ("AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET")
# TEST-NET-3 of RFC 5737 and port 9 (discard): nobody lives there, whatever gets out.
_OUTSIDE = ("203.0.113.1", 9)
_SCRIPT = b"#!/bin/sh\nexit 0\n"
_TRIAL_S = 10
# io_uring_setup(2) has one number everywhere; its parameters are 120 bytes.
_RING_SETUP, _RING_PARAMETERS = 425, 120


def no_sockets() -> Finding:
    """Tries to make a socket of each family; where one can be made, a route out must be missing."""
    made = [family for family in _FAMILIES if _can_make(family)]
    if not made:
        return ok("no_sockets", "No socket of any family can be made.")
    return failed(
        "no_sockets",
        f"A socket can be made ({', '.join(made)}); the unit must have "
        "RestrictAddressFamilies=none and PrivateNetwork=yes, as it came with this version.",
    )


def _can_make(family: str) -> bool:
    try:
        with socket.socket(getattr(socket, family), socket.SOCK_DGRAM):
            return True
    except OSError:
        return False


def no_ring() -> Finding:
    """Asks for an io_uring, which would make sockets past the filter of system calls."""
    libc = ctypes.CDLL(None, use_errno=True)
    ring = libc.syscall(_RING_SETUP, 1, ctypes.create_string_buffer(_RING_PARAMETERS))
    if ring < 0:
        return ok("no_ring", f"No io_uring can be made ({os.strerror(ctypes.get_errno())}).")
    os.close(ring)
    return failed(
        "no_ring",
        "An io_uring can be made, which no filter of system calls sees; the unit must have "
        "SystemCallFilter=~io_uring_setup, as it came with this version.",
    )


def no_way_out() -> Finding:
    """Sends one byte to an address of nobody outside; the kernel must refuse it."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(_TRIAL_S)
            probe.sendto(b"\0", _OUTSIDE)
    except OSError as error:
        return ok("no_way_out", f"A packet to the outside was refused ({error.strerror}).")
    return failed(
        "no_way_out",
        "A packet to the outside was sent; set IPAddressDeny=any and IPAddressAllow= for your LAN "
        "in a drop-in. Where the kernel has no BPF for cgroups v2, use config_templates/onggi.nft.",
    )


def unreadable(name: str, paths: Iterable[Path]) -> Finding:
    """Tries to read what this service must not see.

    Args:
        name: What the check is called.
        paths: Files and folders.
    """
    tried = list(paths)
    if not tried:
        return not_here(name, "Nothing of the kind is configured.")
    read = [path for path in tried if _can_read(path)]
    if not read:
        return ok(name, f"None of {len(tried)} places can be read.")
    return failed(
        name,
        f"{', '.join(map(str, read))} can be read; name it in a drop-in with InaccessiblePaths=, "
        "and give it a group that this service is not in.",
    )


def _can_read(path: Path) -> bool:
    try:
        if path.is_dir():
            with os.scandir(path) as entries:
                next(entries, None)
            return True
        with path.open("rb") as handle:
            handle.read(1)
    except OSError:
        return False
    return True


def unwritable(name: str, folders: Iterable[Path]) -> Finding:
    """Tries to write a file into each folder that is there."""
    written = [folder for folder in folders if folder.is_dir() and can_write(folder)]
    if not written:
        return ok(name, "Nothing can be written there.")
    return failed(
        name,
        f"{', '.join(map(str, written))} can be written; the unit must have ProtectSystem=strict "
        "and this folder not among ReadWritePaths=.",
    )


def can_write(folder: Path) -> bool:
    """Tries to make a file in a folder, and removes it again."""
    probe = folder / f".onggi-doctor-{os.getpid()}"
    try:
        probe.touch()
    except OSError:
        return False
    probe.unlink()
    return True


def nothing_runs_from(folder: Path) -> Finding:
    """Writes a script into a folder and tries to run it."""
    probe = folder / f".onggi-doctor-{os.getpid()}.sh"
    try:
        probe.write_bytes(_SCRIPT)
        probe.chmod(0o700)
        subprocess.run([str(probe)], check=True, timeout=_TRIAL_S, capture_output=True)
    except (OSError, subprocess.SubprocessError) as error:
        if not probe.exists():
            return not_here("no_exec", f"{folder} cannot be written, so nothing can be put there.")
        why = getattr(error, "strerror", None) or "it did not run"
        return ok("no_exec", f"A file in {folder} cannot be run ({why}).")
    finally:
        probe.unlink(missing_ok=True)
    return failed(
        "no_exec",
        f"A file in {folder} was run; the unit must name the folder in NoExecPaths=, and this "
        "command must run within it.",
    )
