"""Carries sealed envelopes from the outbox to the aggregator, and its answers to the inbox.

The courier removes nothing from the outbox: the keeper does, once it believes the receipt or the
refusal. So answered ids are remembered here, and an envelope that is still there much later is
offered again; the aggregator then repeats its answer, byte for byte.
"""

import logging
from datetime import datetime
from pathlib import Path

from agent import log
from agent.boxes import Inbox, Outbox, Parcel
from agent.errors import Refused, TryLater
from agent.exchange.carrier import Carrier, Word
from agent.exchange.places import read_number_by_name
from agent.files import write_atomic
from agent.wire import strict_json

_logger = logging.getLogger(__name__)

OFFER_AGAIN_S = 3600.0


class Uplink:
    """Delivers what waits in the outbox.

    Args:
        carrier: To the aggregator.
        outbox: Only read.
        inbox: Where answers go.
        memory: A small file of the courier's own: which envelopes were answered, and when.
    """

    def __init__(self, carrier: Carrier, outbox: Outbox, inbox: Inbox, memory: Path) -> None:
        self._carrier = carrier
        self._outbox = outbox
        self._inbox = inbox
        self._memory = memory
        self._answered = read_number_by_name(memory)
        self._left = 0

    def left(self) -> int:
        """Returns how many parcels the last step left without an answer."""
        return self._left

    def step(self, now: datetime) -> int:
        """Delivers each waiting parcel, or as much of it as the connection allows.

        Args:
            now: The time, to remember when an answer came.

        Returns:
            How many parcels were answered.

        Raises:
            TryLater: The aggregator is away; what it has of a parcel is not sent again.
            Refused: It refuses the requests for a parcel, without a signed refusal; the other
                parcels were delivered first.
        """
        answered = 0
        trouble: Refused | None = None
        waiting = self._waiting(now)
        self._left = len(waiting)
        for parcel in waiting:
            try:
                answered += self._deliver(parcel, now)
            except Refused as error:
                trouble = error
                log.trouble(_logger, "parcel_refused", envelope=parcel.envelope_id, code=error.code)
        if trouble is not None:
            raise trouble
        return answered

    def _waiting(self, now: datetime) -> list[Parcel]:
        recent = now.timestamp() - OFFER_AGAIN_S
        try:
            return [
                parcel
                for parcel in sorted(self._outbox.parcels(), key=_age)
                if not recent < self._answered.get(parcel.envelope_id, 0.0) <= now.timestamp()
            ]
        except OSError as error:
            raise TryLater(f"Cannot read the outbox: {error.strerror}.") from error

    def _deliver(self, parcel: Parcel, now: datetime) -> bool:
        try:
            word = self._carrier.offer(parcel)
        except FileNotFoundError:
            self._left -= 1
            return False  # the keeper has just taken it out: it has expired
        except OSError as error:
            raise TryLater(f"Cannot read {parcel.blob_path}: {error.strerror}.") from error
        if word is None:
            return False
        self._put_answer(parcel.envelope_id, word, now)
        self._left -= 1
        return True

    def _put_answer(self, envelope_id: str, last: Word, now: datetime) -> None:
        try:
            if last.kind == "receipt":
                note = strict_json.dumps({"envelope_id": envelope_id})
                self._inbox.put_answer(envelope_id, "delivered", note)
            self._inbox.put_answer(envelope_id, last.kind, last.content)
            # After the answer: a kill in between only makes the aggregator repeat it.
            self._remember(envelope_id, now)
        except OSError as error:
            raise TryLater(f"Cannot write an answer down: {error.strerror}.") from error
        log.event(_logger, "parcel_answered", envelope=envelope_id, answer=last.kind)

    def _remember(self, envelope_id: str, now: datetime) -> None:
        present = {parcel.envelope_id for parcel in self._outbox.parcels()}
        kept = {name: when for name, when in self._answered.items() if name in present}
        self._answered = {**kept, envelope_id: now.timestamp()}
        write_atomic(self._memory, strict_json.dumps(dict(self._answered)))


def _age(parcel: Parcel) -> tuple[float, str]:
    try:
        return parcel.header_path.stat().st_mtime, parcel.envelope_id
    except FileNotFoundError:  # just taken out; offering it says so
        return 0.0, parcel.envelope_id
