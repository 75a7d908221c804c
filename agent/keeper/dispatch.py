"""What the courier may see of the outbox: posted, withheld, approved, taken out."""

import logging
from datetime import datetime, timedelta

from agent import log
from agent.boxes import Outbox
from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.ledger import egress
from agent.ledger.book import Item, Ledger

_log = logging.getLogger(__name__)
LIFE = timedelta(days=7)
_DOUBT = timedelta(days=1)
_OVERDUE = "overdue"  # since when an update is; in the ledger, for a keeper may start every day
WAITS_FOR_APPROVAL = "It waits for a person: `onggi outbox approve {0}` or `refuse {0}`."


class Dispatch:
    """Moves sealed envelopes and signed statements through the outbox.

    Args:
        ledger: Where updates and statements are rows.
        outbox: Where they wait.
    """

    def __init__(self, ledger: Ledger, outbox: Outbox) -> None:
        self._ledger = ledger
        self._outbox = outbox

    def recover(self) -> None:
        """After a restart: drops what was staged and not booked."""
        self._outbox.discard_staged(frozenset(self._waiting()))

    def settle(self, now: datetime, *, shut: bool = False) -> None:
        """Posts what may leave; takes answered and expired envelopes out of the outbox.

        What was staged and not booked goes, too: its transaction was rolled back.

        Args:
            now: For what expires.
            shut: Nothing may leave at all, because the policy is not signed off.
        """
        for item in self._ledger.find("update", "sealed", "held", "delivered"):
            if self._is_over(item, now):
                self._ledger.move(item, "expired", now, "no answer came in time")
        self._forget_answered()
        waiting = self._waiting()
        for envelope_id, may_leave in waiting.items():
            if may_leave and not shut:
                self._outbox.post(envelope_id)
            else:
                self._outbox.withhold(envelope_id)
        self._outbox.discard_staged(frozenset(waiting))
        for parcel in self._outbox.parcels():
            if parcel.envelope_id not in waiting:
                self._outbox.remove(parcel.envelope_id)

    def hold(self, envelope_id: str, by: str, now: datetime) -> None:
        """Keeps a sealed update back until a person approves it.

        Raises:
            Refused: `unknown_envelope`, or `not_waiting`: it is held, or it has left.
        """
        item = self._update(envelope_id, "sealed")
        with self._ledger.transaction():
            self._ledger.move(item, "held", now, WAITS_FOR_APPROVAL.format(envelope_id[:12]))
            egress.decide(self._ledger, envelope_id, "held", by, now, 0)
        log.event(_log, "update held", envelope=envelope_id)

    def approve(self, envelope_id: str, by: str, now: datetime) -> None:
        """Lets a held update leave.

        Raises:
            Refused: `unknown_envelope`, or `not_waiting`: it is not held.
        """
        item = self._update(envelope_id, "held")
        with self._ledger.transaction():
            self._ledger.move(item, "sealed", now, "", {"approved_by": by})
            size = int(str(item.detail["bytes"]))
            egress.decide(self._ledger, envelope_id, "approved", by, now, size)
        log.event(_log, "update approved", envelope=envelope_id)

    def refuse(self, envelope_id: str, by: str, now: datetime) -> Item:
        """Ends a held update: it never leaves.

        Returns:
            The update as it was; its id is its round's.

        Raises:
            Refused: `unknown_envelope`, or `not_waiting`: it is not held.
        """
        item = self._update(envelope_id, "held")
        with self._ledger.transaction():
            self._ledger.move(item, "withdrawn", now, f"{by} refused it.", {"refused_by": by})
            egress.decide(self._ledger, envelope_id, "refused", by, now, 0)
        log.event(_log, "update withdrawn", envelope=envelope_id)
        return item

    def _update(self, envelope_id: str, state: str) -> Item:
        for item in self._ledger.find("update"):
            if item.detail.get("envelope_id") == envelope_id:
                if item.state == state:
                    return item
                why = f"Envelope {envelope_id[:12]} is {item.state}, and not {state}."
                raise Refused("not_waiting", why)
        raise Refused("unknown_envelope", f"No update was sealed as {envelope_id[:12]}.")

    def _waiting(self) -> dict[str, bool]:
        """Returns what has no end yet, by envelope, and whether it may leave."""
        updates = {
            str(item.detail["envelope_id"]): item.state != "held"
            for item in self._ledger.find("update", "sealed", "held", "delivered")
        }
        return updates | {item.id: True for item in self._ledger.find("statement", "signed")}

    def _is_over(self, update: Item, now: datetime) -> bool:
        """Tells whether an update's life is over, and has been for a day by every look since.

        A clock that jumps ahead and is set right within the day costs no update; to keep a dead
        one for a day longer costs nothing, since the aggregator refuses it.
        """
        kept = self._ledger.document(_OVERDUE, update.id)
        since = from_text(kept.decode()) if kept else None
        if now < from_text(update.created) + LIFE:
            if since is not None:
                self._ledger.drop_document(_OVERDUE, update.id)
            return False
        if since is None or now < since:
            self._ledger.put_document(_OVERDUE, update.id, to_text(now).encode(), now)
            return False
        return now - since >= _DOUBT

    def _forget_answered(self) -> None:
        waiting = {item.id for item in self._ledger.find("update", "sealed", "held", "delivered")}
        for name, _ in self._ledger.documents(_OVERDUE):
            if name not in waiting:
                self._ledger.drop_document(_OVERDUE, name)
