"""Fetches what the consortium published: first the objects, then the document that names them.

Nothing is believed here. An object's bytes are checked against the hash under which they are
stored; whether that hash is the right one is for the keeper to say.
"""

import base64
import binascii
import logging
import os
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from agent import log
from agent.boxes import Inbox
from agent.errors import Refused, TryLater
from agent.exchange.carrier import Carrier, restart
from agent.exchange.places import read_number_by_name
from agent.files import fsync_folder, sha256_file, write_atomic
from agent.wire import strict_json
from agent.wire.documents import FeedItem, ObjectRef

_logger = logging.getLogger(__name__)

MAX_OBJECT_BYTES = 2 << 30
_MAX_NUMBER = 10**9  # letters carry nine digits, so that they sort
TRIES = 5


class Downlink:
    """Follows the feed.

    Args:
        carrier: To the aggregator.
        inbox: Where objects and documents go.
        memory: A small file of the courier's own: the number of the last item taken.
        max_object_bytes: Larger objects are refused.
        canary: Whether to bring what only silos of the canary channel take.
    """

    def __init__(
        self,
        carrier: Carrier,
        inbox: Inbox,
        memory: Path,
        *,
        max_object_bytes: int = MAX_OBJECT_BYTES,
        canary: bool = False,
    ) -> None:
        self._carrier = carrier
        self._inbox = inbox
        self._memory = memory
        self._max_object_bytes = max_object_bytes
        self._canary = canary
        self._after = int(read_number_by_name(memory).get("after", 0))
        self._failures: dict[int, int] = {}

    def step(self, now: datetime) -> int:
        """Asks once for what is new, waiting for it, and takes it item by item.

        An item which fails five times for a reason of its own is set aside, so that it does not
        keep back those after it.

        Args:
            now: The time, for the log of what was set aside.

        Returns:
            How many items were taken.

        Raises:
            TryLater: The aggregator is away; what has arrived of an object is kept.
            Refused: The aggregator refuses the request; or `bad_feed`; or why an item failed.
        """
        items = self._poll()
        for item in items:
            try:
                self._take(item)
            except Refused as error:
                self._set_aside(item, error, now)
            except OSError as error:
                raise TryLater(f"Cannot write to the inbox: {error.strerror}.") from error
        return len(items)

    def _poll(self) -> tuple[FeedItem, ...]:
        items = self._carrier.items(self._after)
        numbers = [self._after, *(item.number for item in items), _MAX_NUMBER]
        if any(later <= earlier for earlier, later in pairwise(numbers)):
            raise Refused("bad_feed", "The aggregator's feed is out of order.")
        return items

    def _take(self, item: FeedItem) -> None:
        if item.kind == "canary" and not self._canary:
            self._advance(item.number)  # the keeper would not take it; this spares the way
            return
        for wanted in item.objects:
            self._fetch(wanted)
        try:
            content = base64.b64decode(item.document, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refused("bad_feed", f"Item {item.number} of the feed is unreadable.") from error
        self._inbox.put_published(item.number, item.kind, content)
        self._advance(item.number)
        log.event(_logger, "item_taken", number=item.number, kind=item.kind)

    def _set_aside(self, item: FeedItem, error: Refused, now: datetime) -> None:
        self._failures[item.number] = self._failures.get(item.number, 0) + 1
        if self._failures[item.number] < TRIES:
            raise error
        log.trouble(
            _logger,
            "item_set_aside",
            number=item.number,
            kind=item.kind,
            code=error.code,
            at=str(now),
        )
        self._advance(item.number)

    def _advance(self, number: int) -> None:
        # Last: a kill before this line only fetches the same item once more.
        write_atomic(self._memory, strict_json.dumps({"after": number}))
        self._after = number
        self._failures.pop(number, None)

    def _fetch(self, wanted: ObjectRef) -> None:
        final = self._inbox.object_path(wanted.sha256)
        try:
            os.utime(final)  # the keeper prunes by age, and this one is about to be named again
        except FileNotFoundError:
            pass
        else:
            return  # it was checked before it got this name
        if wanted.bytes > self._max_object_bytes:
            raise Refused("too_large", f"An object of {wanted.bytes} bytes is over the limit.")
        partial = self._inbox.partial_path(wanted.sha256)
        with partial.open("ab") as sink:
            if sink.tell() > wanted.bytes:
                restart(sink)
            if sink.tell() < wanted.bytes:
                self._carrier.fetch(wanted, sink)
            if sink.tell() < wanted.bytes:
                raise TryLater("An object arrived only in part; the rest will be fetched.")
            sink.flush()
            os.fsync(sink.fileno())
        if sha256_file(partial) != wanted.sha256:
            partial.unlink()
            raise Refused("wrong_hash", "An object arrived altered; it will be fetched again.")
        partial.rename(final)
        fsync_folder(final.parent)
