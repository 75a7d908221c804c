"""What a carrier must do, and nothing more: the seam between the courier and whatever transports.

The courier offers the oldest sealed envelope without a receipt, takes its answer, and hands back
signed files; it keeps the resume points, and the keeper verifies everything again. A carrier owns
no work and remembers nothing, so that HTTPS, a folder, or an engine such as NVFlare or Flower
under these three methods lose nothing when they are killed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Literal, Protocol

from agent.audit.transport import Totals
from agent.boxes import Parcel
from agent.errors import Refused
from agent.wire.documents import FeedItem, ObjectRef, Receipt, Refusal
from agent.wire.signed import parse, payload_type


@dataclass(frozen=True, slots=True)
class Word:
    """The consortium's last word on an envelope, signed, as it came."""

    kind: Literal["receipt", "refusal"]
    content: bytes


class Traffic(Protocol):
    """What the status says of a way."""

    @property
    def last_contact(self) -> datetime | None:
        """When the other side last answered; None before the first answer."""
        ...

    @property
    def totals(self) -> Totals:
        """What was sent and received so far, by the transport log."""
        ...


class Carrier(Traffic, Protocol):
    """Takes envelopes to the consortium and brings what it published."""

    def offer(self, parcel: Parcel) -> Word | None:
        """Offers an envelope, or goes on with it; the same may be offered any number of times.

        Returns:
            The answer to it, or None where that comes another time.

        Raises:
            TryLater: The other side is away; what it has of the envelope is not sent again.
            Refused: It refuses to deal with the envelope, without a signed refusal.
            OSError: The outbox cannot be read; `FileNotFoundError` where the keeper took it out.
        """
        ...

    def items(self, after: int) -> tuple[FeedItem, ...]:
        """Returns what was published next after a number, in order; it may wait for it.

        Raises:
            TryLater: The other side is away.
            Refused: It refuses the question, or its answer is damaged.
        """
        ...

    def fetch(self, wanted: ObjectRef, sink: BinaryIO) -> None:
        """Appends what `sink` lacks of an object; from the start where it cannot go on.

        Raises:
            TryLater: It is away, or broke off; what has arrived is kept.
            Refused: `too_large`, or the other side has no such object.
        """
        ...


def recognized(kind: Literal["receipt", "refusal"], content: bytes, envelope_id: str) -> Word:
    """Checks that an answer is about this envelope; no trust is decided here.

    A note about another envelope must not end this one's delivery: some box in between, or
    whoever had the stick, may answer in the aggregator's place.

    Raises:
        Refused: `strange_answer`.
    """
    try:
        container = parse(content)
        document = (Receipt if kind == "receipt" else Refusal).parse(container.payload)
    except Refused as error:
        raise Refused("strange_answer", f"What was given as a {kind} is none.") from error
    if container.payload_type != payload_type(kind) or document.envelope_id != envelope_id:
        raise Refused("strange_answer", f"This {kind} is for another envelope.")
    return Word(kind, content)


def restart(sink: BinaryIO) -> None:
    """Empties a sink; truncating alone would leave its position, which says what is there."""
    sink.seek(0)
    sink.truncate()
