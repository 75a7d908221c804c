"""The world outside: an address that no service has any business with, and who was heard there."""

import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

# TEST-NET-2 of RFC 5737.
ADDRESS = "198.51.100.1"
# TEST-NET-3, to which `onggi doctor` sends: without a route no wall would be needed there.
_NOBODYS = "203.0.113.0/24"
_DEVICE, _INSIDE = "onggi-veth", "host0"
_DNS = 53
_NAME_AT = 12
_PATIENCE_S = 0.5


class Outside:
    """Listens for streams, datagrams and questions for names, outside and on the LAN.

    Attributes:
        port: Of streams and datagrams alike.
        heard: What came: `tcp`, `udp` or `dns`, and the word that was sent.
    """

    def __init__(self, leader: int, lan: str) -> None:
        self.heard: set[tuple[str, str]] = set()
        self.port = 0
        self._leader, self._lan = leader, lan
        self._over = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        subprocess.run(["ip", "addr", "add", f"{ADDRESS}/32", "dev", _DEVICE], check=True)
        inside = ["nsenter", "-t", str(self._leader), "-n", "--", "ip", "route", "add"]
        for target in (ADDRESS, _NOBODYS):
            subprocess.run([*inside, target, "via", self._lan, "dev", _INSIDE], check=True)
        for host in (ADDRESS, self._lan):
            streams = socket.create_server((host, self.port))
            self.port = int(streams.getsockname()[1])
            self._listen(streams, self._stream)
            self._listen(_bound(host, self.port), self._datagram)
            self._listen(_bound(host, _DNS), self._question)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()

    def _listen(self, one: socket.socket, take: Callable[[socket.socket], None]) -> None:
        one.settimeout(_PATIENCE_S)
        self._sockets.append(one)
        self._threads.append(threading.Thread(target=self._serve, args=(one, take)))
        self._threads[-1].start()

    def _serve(self, one: socket.socket, take: Callable[[socket.socket], None]) -> None:
        while not self._over.is_set():
            with suppress(OSError):
                take(one)

    def _stream(self, listener: socket.socket) -> None:
        stream, _ = listener.accept()
        with stream:
            stream.settimeout(5)
            self.heard.add(("tcp", stream.recv(100).decode()))

    def _datagram(self, listener: socket.socket) -> None:
        self.heard.add(("udp", listener.recv(100).decode()))

    def _question(self, listener: socket.socket) -> None:
        question, asker = listener.recvfrom(512)
        first = question[_NAME_AT + 1 :][: question[_NAME_AT]]
        self.heard.add(("dns", first.decode(errors="replace")))
        listener.sendto(_answer(question), asker)


def _bound(host: str, port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((host, port))
    return one


def _answer(question: bytes) -> bytes:
    """Answers any question for an address with this one (RFC 1035, section 4.1)."""
    end = question.index(b"\0", _NAME_AT) + 5
    head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
    found = struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(ADDRESS)
    return head + question[_NAME_AT:end] + found
