"""Who reaches whom: the machine sees the proxy, and only the proxy sees the aggregator.

    machine 10.77.0.2 --veth-- 10.77.0.1 (proxy)  this machine  10.78.0.1 (aggregator)

The machine has no route to 10.78.0.1, so whatever arrives there came through the proxy.
"""

import subprocess
from types import TracebackType
from typing import Self

PROXY, AGGREGATOR, INSIDE = "10.77.0.1", "10.78.0.1", "10.77.0.2"
_OUTER, _FAR = "onggi-veth", "onggi-far"


class Network:
    """Joins a booted machine's network namespace to this one's."""

    def __init__(self, leader: int) -> None:
        self._leader = leader

    def __enter__(self) -> Self:
        self._remove()
        space = str(self._leader)
        _ip("link", "add", _OUTER, "type", "veth", "peer", "name", "host0", "netns", space)
        _ip("addr", "add", f"{PROXY}/24", "dev", _OUTER)
        _ip("link", "set", _OUTER, "up")
        # The kernel may lack dummy devices; a second pair does as well.
        _ip("link", "add", _FAR, "type", "veth", "peer", "name", f"{_FAR}-b")
        _ip("addr", "add", f"{AGGREGATOR}/24", "dev", _FAR)
        _ip("link", "set", _FAR, "up")
        inside = ["nsenter", "-t", space, "-n", "--", "ip"]
        for words in (
            ("addr", "add", f"{INSIDE}/24", "dev", "host0"),
            ("link", "set", "host0", "up"),
            ("link", "set", "lo", "up"),
        ):
            subprocess.run([*inside, *words], check=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for link in (_OUTER, _FAR):
            subprocess.run(["ip", "link", "del", link], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
