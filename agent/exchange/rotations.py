"""New keys, as far as the courier has a part in them: its own, and the requests that it carries.

The courier holds no trust and reads no roster. That the consortium has taken its new key in, it
learns by trying: the old one is refused, and the new one is not.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from agent import log
from agent.boxes import rotation_requests
from agent.errors import Refused, TryLater
from agent.exchange.answers import problem
from agent.exchange.session import Link
from agent.files import sha256_bytes
from agent.key_ring import RingKey
from agent.keys import SigningIdentity, load_signing, next_key, promote

_logger = logging.getLogger(__name__)
ASK_AGAIN_S = 3600.0
_TAKEN = frozenset({200, 202})
Step = Callable[[datetime], int]


class CourierKey:
    """The courier's key, which gives way to the next one as soon as only that one is believed.

    Args:
        path: The key in use; the next one is beside it.
        ring: Opens those that rest sealed.

    Raises:
        Stop: It is missing, open to others, damaged, or not opened by `ring`.
    """

    def __init__(self, path: Path, ring: RingKey | None = None) -> None:
        self._path = path
        self._ring = ring
        self._lock = threading.Lock()
        self._key = load_signing(path, "courier", ring)
        self._next: SigningIdentity | None = None

    @property
    def public_hex(self) -> str:
        """The public half, 32 bytes in hexadecimal."""
        return (self._next or self._key).public_hex

    def sign(self, message: bytes) -> bytes:
        """Returns the 64-byte Ed25519 signature of the message."""
        return (self._next or self._key).sign(message)

    def following(self, step: Step) -> Step:
        """Returns the step so that it is tried with the next key where the old one is refused."""

        def attempt(now: datetime) -> int:
            before = self.public_hex
            try:
                return step(now)
            except Refused as error:
                if error.code != "bad_signature" or not self._is_other_than(before):
                    raise
            return self._tried(step, now)

        return attempt

    def _tried(self, step: Step, now: datetime) -> int:
        try:
            done = step(now)
        except Refused as error:
            # Any other refusal came after the signature had been believed.
            self._give_up() if error.code == "bad_signature" else self._settle()
            raise
        except TryLater:
            self._give_up()
            raise
        self._settle()
        return done

    def _is_other_than(self, refused: str) -> bool:
        with self._lock:
            if self.public_hex != refused:
                return True  # the other lane was quicker
            path = next_key(self._path)
            if path.exists():
                self._next = load_signing(path, "courier", self._ring)
            else:
                self._key = load_signing(self._path, "courier", self._ring)
            return self.public_hex != refused

    def _give_up(self) -> None:
        with self._lock:
            self._next = None

    def _settle(self) -> None:
        with self._lock:
            if self._next is None:
                return
            # The old key is of no use to anybody now; it only signed, so nothing needs it again.
            try:
                promote(self._path, keep=False)
            except OSError as error:
                raise TryLater(f"Cannot put the new courier key in place: {error}.") from error
            self._key, self._next = self._next, None
        log.event(_logger, "courier_key_replaced")


class Requests:
    """Carries requests for new keys to the aggregator, again every hour until the keeper is done.

    Args:
        link: To the aggregator.
        outbox: Where they wait; only read.
    """

    def __init__(self, link: Link, outbox: Path) -> None:
        self._link = link
        self._outbox = outbox
        self._sent: dict[str, datetime] = {}

    def step(self, now: datetime) -> int:
        """Sends each request that was not sent within the hour, and returns how many there were.

        Raises:
            TryLater: The aggregator is away.
            Refused: It refuses a request, e.g. `wrong_key` or `already_enrolled`.
        """
        try:
            waiting = rotation_requests(self._outbox)
        except OSError as error:
            raise TryLater(f"Cannot read the outbox: {error.strerror}.") from error
        due = [content for content in waiting if self._is_due(content, now)]
        for content in due:
            answer = self._link.ask("POST", "/v1/rotations", content)
            if answer.status not in _TAKEN:
                raise problem(answer.status, answer.body)
            self._sent[sha256_bytes(content)] = now
            log.event(_logger, "rotation_asked")
        return len(due)

    def _is_due(self, content: bytes, now: datetime) -> bool:
        sent = self._sent.get(sha256_bytes(content))
        return sent is None or not 0 <= (now - sent).total_seconds() < ASK_AGAIN_S
