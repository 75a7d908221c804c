"""What systemd hears of the real services: that they work, that they live, and that they hang."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.silo import Silo

_WATCHDOG_S = 4.0


@pytest.fixture
def silo(tmp_path: Path) -> Iterator[Silo]:
    made = Silo(tmp_path)
    yield made
    made.end()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        yield listener


@pytest.fixture
def told(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the processes that are started hear what systemd would tell them."""
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", str(int(_WATCHDOG_S * 1e6)))


def _start(silo: Silo, *command: str) -> subprocess.Popen[bytes]:
    with (silo.root / "keeper.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, *command], stderr=log, close_fds=False)
    silo.processes.append(process)
    return process


def _hear(systemd: socket.socket, word: str, limit_s: float = 60.0) -> str | None:
    """Returns the first message with a word in it, or None after so many seconds without one."""
    until_s = time.monotonic() + limit_s
    while (left_s := until_s - time.monotonic()) > 0:
        systemd.settimeout(left_s)
        try:
            message = systemd.recv(4096).decode()
        except TimeoutError:
            return None
        if word in message:
            return message
    return None


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("service", [("keeper",), ("serve",), ("reader", "lims")])
def test_a_service_says_that_it_lives_and_a_hang_is_silence(
    silo: Silo, systemd: socket.socket, service: tuple[str, ...]
) -> None:
    process = _start(silo, "-m", "agent", "--config", str(silo.config_path), *service)
    assert _hear(systemd, "READY=1")
    assert _hear(systemd, "WATCHDOG=1")
    if service != ("reader", "lims"):  # its heart beats slowly; the next is not waited for
        assert _hear(systemd, "WATCHDOG=1")
    process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    while _hear(systemd, "", 0.1):  # what was on its way
        pass
    assert _hear(systemd, "WATCHDOG=1", 1.5 * _WATCHDOG_S) is None
    process.send_signal(signal.SIGCONT)
    process.terminate()
    assert _hear(systemd, "STOPPING=1")
    assert process.wait(120) == 0


# As under the unit: a socket comes as descriptor 3, and no other can be made.
_GIVEN = """
import os, socket, sys
os.dup2(int(sys.argv.pop(1)), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
def hook(event, arguments):
    if event == "socket.__new__" and arguments[1] != -1:  # -1: of a descriptor that is there
        os._exit(99)
sys.addaudithook(hook)
from agent.cli.main import main
main()
"""


@pytest.mark.usefixtures("told")
def test_the_keeper_speaks_through_a_socket_that_it_was_given(
    silo: Silo, systemd: socket.socket
) -> None:
    config = ["--config", str(silo.config_path), "keeper"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as given:
        given.set_inheritable(True)
        process = _start(silo, "-c", _GIVEN, str(given.fileno()), *config)
    assert _hear(systemd, "READY=1")
    process.terminate()
    assert process.wait(120) == 0


@pytest.mark.usefixtures("told")
def test_a_configuration_is_taken_anew_only_without_a_fault(
    silo: Silo, systemd: socket.socket
) -> None:
    process = _start(silo, "-m", "agent", "--config", str(silo.config_path), "reader", "lims")
    assert _hear(systemd, "READY=1")
    whole = silo.config_path.read_text()

    silo.config_path.write_text(whole + "[nonsense]\n")
    process.send_signal(signal.SIGHUP)
    log = silo.root / "keeper.log"
    silo.wait("the fault", lambda: "configuration not taken" in log.read_text())
    assert process.poll() is None

    silo.config_path.write_text(whole)
    process.send_signal(signal.SIGHUP)
    assert _hear(systemd, "RELOADING=1")
    assert _hear(systemd, "READY=1")  # and no STOPPING=1, by which systemd would let it go
    assert process.poll() is None
    process.terminate()
    assert _hear(systemd, "STOPPING=1")
    assert process.wait(120) == 0
