"""What this silo says of its own accord: that it declines, and the day's root of its egress log."""

import logging
from dataclasses import dataclass
from datetime import datetime

from agent import log
from agent.boxes import Outbox
from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keeper.requests import Request
from agent.ledger import egress
from agent.ledger.book import Detail, Item, Ledger
from agent.policy.judge import Code
from agent.policy.rules import Policy
from agent.wire import merkle
from agent.wire.signed import Signer, sign
from agent.wire.statements import Declined, EgressRoot, Leaf, Statement

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Objected:
    """What is declined: a plan, or one round of it, and why.

    Attributes:
        round_id: Empty for the whole plan.
    """

    plan_id: str
    plan_sha256: str
    round_id: str
    codes: tuple[Code, ...]


class Statements:
    """Signs statements, books them in the egress log and lays them into the outbox.

    Args:
        ledger: Where each is a row and a leaf.
        outbox: Where they wait for the courier.
        signer: The silo's signing key.
        silo: This silo's name.
        consortium: To whom they go.
    """

    def __init__(
        self, ledger: Ledger, outbox: Outbox, signer: Signer, silo: str, consortium: str
    ) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._signer = signer
        self._silo = silo
        self._consortium = consortium

    def decline(self, what: Objected, policy: Policy, now: datetime) -> None:
        """Tells the consortium what this silo declines, as far as the policy lets it know.

        Call it in the transaction that books the objection.
        """
        document = Declined(
            consortium=self._consortium,
            silo=self._silo,
            plan_id=what.plan_id,
            plan_sha256=what.plan_sha256,
            round_id=what.round_id,
            codes=what.codes if policy.leave.tell == "codes" else (),
            created=to_text(now),
        )
        detail: Detail = {"kind": "declined", "about": what.round_id or what.plan_id}
        self._say(document, detail, now, kept=policy.leave.tell == "nothing")

    def say_message(self, content: bytes, kind: str, about: str, now: datetime) -> None:
        """Books a message that was signed already and lays it into the outbox.

        Call it in the transaction that books the step which it tells of.

        Args:
            content: The signed container.
            kind: Of the message.
            about: The round.
            now: The time.
        """
        detail: Detail = {"kind": kind, "about": about}
        self._book(content, detail, now, kept=False)

    def say_root(self, now: datetime, *, at_once: bool = False) -> bool:
        """Signs the root of the egress log once a day, when the last one is answered.

        Args:
            now: The time; a day is one of UTC.
            at_once: A person asked for it now.

        Returns:
            Whether one was signed.

        Raises:
            Refused: `broken_tree`: the log is not the one whose root was signed before.
        """
        size = egress.size(self._ledger)
        if size == 0 or self._roots("signed") or not (at_once or self._day_is_over(now)):
            return False
        counted = self._roots("acknowledged")
        before = counted[-1].detail if counted else {"size": 0, "root": egress.EMPTY}
        after_size, after_root = int(str(before["size"])), str(before["root"])
        egress.check_root(self._ledger, after_size, after_root)
        hashes = egress.hashes(self._ledger)
        document = EgressRoot(
            consortium=self._consortium,
            silo=self._silo,
            size=size,
            root=merkle.root(hashes).hex(),
            after_size=after_size,
            after_root=after_root,
            consistency=tuple(s.hex() for s in merkle.consistency_proof(hashes, after_size)),
            created=to_text(now),
        )
        about = f"{now:%Y-%m-%d}"
        detail: Detail = {"kind": "egress_root", "about": about, "size": size}
        with self._ledger.transaction():
            self._say(document, {**detail, "root": document.root}, now, kept=False)
        return True

    def book_carried(self, request: Request, by: str, now: datetime) -> None:
        """Books a file that a person carries out; asked for once more it is no second leaf.

        Raises:
            Refused: `malformed`: no file is named.
        """
        if not (request.envelope_id and request.bytes):
            raise Refused("malformed", "The request names no file.")
        if egress.of_envelope(self._ledger, request.envelope_id):
            return
        leaf = Leaf(
            at=to_text(now),
            envelope_id=request.envelope_id,
            kind=request.action,
            to=self._consortium,
            about=request.about,
            decision="released",
            by=by,
            bytes=request.bytes,
            blob_sha256=request.envelope_id,
            header="",
        )
        with self._ledger.transaction():
            egress.book(self._ledger, leaf)
        log.event(_log, "figures booked", release=request.about, bytes=request.bytes)

    def _day_is_over(self, now: datetime) -> bool:
        said = self._roots()
        since = said[-1].created if said else egress.first(self._ledger).leaf.at
        return now.date() > from_text(since).date()

    def _roots(self, *states: str) -> list[Item]:
        return roots(self._ledger, *states)

    def _say(self, document: Statement, detail: Detail, now: datetime, *, kept: bool) -> None:
        content = sign(document.kind, document.to_bytes(), self._signer)
        self._book(content, detail, now, kept=kept)

    def _book(self, content: bytes, detail: Detail, now: datetime, *, kept: bool) -> None:
        statement_id, kind = sha256_bytes(content), str(detail["kind"])
        if not kept:
            self._outbox.stage(lambda _blob: content)
        self._ledger.put_document("statement", statement_id, content, now)
        self._ledger.add("statement", statement_id, "kept" if kept else "signed", now, detail)
        about = str(detail["about"])
        leaf = egress.statement(now, content, kind, self._consortium, about, kept=kept)
        egress.book(self._ledger, leaf)
        log.event(_log, "statement signed", statement=statement_id, kind=kind)


def roots(ledger: Ledger, *states: str) -> list[Item]:
    """Returns the roots that were signed, oldest first, in any of the states if given."""
    found = ledger.find("statement", *states)
    return [item for item in found if item.detail.get("kind") == "egress_root"]
