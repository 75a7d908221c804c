import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.notify import Notify


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def _heard(systemd: socket.socket) -> list[str]:
    messages: list[str] = []
    while True:
        try:
            messages.append(systemd.recv(4096).decode())
        except BlockingIOError:
            return messages


@pytest.fixture
def notify(systemd: socket.socket) -> Iterator[Notify]:
    made = Notify(systemd.getsockname(), watchdog_s=8.0)
    yield made
    made.close()


def test_start_life_and_end_are_told(notify: Notify, systemd: socket.socket) -> None:
    notify.ready("3 wait")
    notify.alive(0.0, "2 wait")
    notify.stopping()
    assert _heard(systemd) == [
        "READY=1\nSTATUS=3 wait",
        "WATCHDOG=1\nSTATUS=2 wait",
        "STOPPING=1",
    ]


def test_a_loop_that_turns_quickly_is_told_four_times_in_the_watchdogs_time(
    notify: Notify, systemd: socket.socket
) -> None:
    for tenth in range(81):
        notify.alive(tenth / 10)
    assert _heard(systemd) == ["WATCHDOG=1"] * 5


def test_a_change_of_status_is_told_at_once(notify: Notify, systemd: socket.socket) -> None:
    notify.alive(0.0, "a")
    notify.alive(0.1, "b")
    assert len(_heard(systemd)) == 2


def test_a_status_is_one_line_and_no_message_of_its_own(
    notify: Notify, systemd: socket.socket
) -> None:
    notify.ready("1 waits\nMAINPID=1\n" + "x" * 500)
    (message,) = _heard(systemd)
    assert message.count("\n") == 1
    assert len(message) < 300


def test_a_reload_has_its_time(notify: Notify, systemd: socket.socket) -> None:
    notify.reloading(1.5)
    assert _heard(systemd) == ["RELOADING=1\nMONOTONIC_USEC=1500000"]


def test_a_systemd_that_is_away_or_deaf_disturbs_nothing(
    tmp_path: Path, notify: Notify, systemd: socket.socket
) -> None:
    nobody = Notify(str(tmp_path / "nobody"))
    nobody.ready()
    nobody.close()
    for number in range(2000):  # far more than the queue of a socket holds
        notify.alive(float(number), str(number))
    assert _heard(systemd)


def test_what_systemd_says_is_taken_out_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, systemd: socket.socket
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    notify = Notify.from_environment()
    for second in range(5):
        notify.alive(float(second))
    notify.close()
    assert len(_heard(systemd)) == 5
    children = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    assert "NOTIFY_SOCKET" not in children  # a worker's message would count as the keeper's


def test_without_systemd_nothing_is_sent_and_no_socket_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(*_: object) -> None:
        raise AssertionError("no socket is needed")

    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setattr(socket, "socket", refuses)
    notify = Notify.from_environment()
    notify.ready()
    notify.alive(0.0)


def test_an_abstract_name(systemd: socket.socket) -> None:
    name = f"onggi-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        notify = Notify(f"@{name}")
        notify.ready()
        notify.close()
        assert listener.recv(100) == b"READY=1"
