"""What a service tells systemd: that it works, that it still lives, how it stands (sd_notify(3)).

A message is one datagram to a socket whose name is in the environment. Where no systemd started the
process, nothing is sent. `alive` belongs into the loop that does the work and nowhere else: a
thread of its own would go on saying so while the work hangs.
"""

import os
import socket
from contextlib import suppress
from typing import Self

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID")
_FIRST_INHERITED = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)
_STATUS_S = 10.0
_LONGEST_STATUS = 200


class Notify:
    """The way to systemd; without an address every call does nothing.

    Args:
        address: A path, an abstract name that begins with `@`, or empty.
        watchdog_s: Within how many seconds systemd wants a sign of life; 0 for never.
        inherited: A datagram socket that systemd opened for this process. The keeper may make no
            socket of any family, and can send through one that it was given.
    """

    def __init__(
        self, address: str = "", watchdog_s: float = 0.0, inherited: socket.socket | None = None
    ) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._pause_s = min(watchdog_s / 4, _STATUS_S) if watchdog_s > 0 else _STATUS_S
        self._socket = inherited
        self._due_s: float | None = None
        self._status = ""
        self._reloading = False
        self._given: dict[str, str] = {}

    @classmethod
    def from_environment(cls) -> Self:
        """Takes what systemd left in the environment, out of which no child shall inherit it."""
        given = {name: os.environ.pop(name, "") for name in _VARIABLES}
        address, mine = given["NOTIFY_SOCKET"], str(os.getpid())
        watched = given["WATCHDOG_PID"] in {"", mine} and given["WATCHDOG_USEC"].isdigit()
        watchdog_s = int(given["WATCHDOG_USEC"]) / 1e6 if watched else 0.0
        inherited = None
        if address and given["LISTEN_PID"] == mine and given["LISTEN_FDS"] not in {"", "0"}:
            os.set_inheritable(_FIRST_INHERITED, False)
            inherited = socket.socket(fileno=_FIRST_INHERITED)
        notify = cls(address, watchdog_s, inherited)
        notify._given = {name: value for name, value in given.items() if value}
        return notify

    def put_back(self) -> None:
        """Leaves everything as systemd gave it, for the program that takes this process over."""
        os.environ.update(self._given)
        if "LISTEN_FDS" in self._given:
            os.set_inheritable(_FIRST_INHERITED, True)

    def ready(self, status: str = "") -> None:
        """Says that the service works from now on."""
        self._send("READY=1", *_status(status))

    def reloading(self, at_s: float) -> None:
        """Says that the configuration is read anew; `ready` says that this is over.

        Args:
            at_s: Now, on the monotonic clock.
        """
        self._reloading = True
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(at_s * 1e6)}")

    def alive(self, at_s: float, status: str = "") -> None:
        """Says that the loop turned once more; it may be called as often as it turns.

        Args:
            at_s: Now, on a clock that never steps back.
            status: How it stands, in counts; never a name or a value.
        """
        if self._due_s is not None and at_s < self._due_s and status == self._status:
            return
        self._send("WATCHDOG=1", *_status(status))
        self._due_s, self._status = at_s + self._pause_s, status

    def stopping(self) -> None:
        """Says that the service ends because it was told to; while it reloads, that it does not."""
        if not self._reloading:
            self._send("STOPPING=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A full queue or a systemd that is being replaced: the next message comes soon, and what
        # the service does matters more than what is said about it.
        with suppress(OSError):
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        """Closes the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _status(text: str) -> tuple[str, ...]:
    # One line: a second one would be a message of its own.
    return (f"STATUS={' '.join(text.split())[:_LONGEST_STATUS]}",) if text else ()


NOBODY = Notify()
