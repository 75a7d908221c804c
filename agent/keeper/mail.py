"""Letters from the inbox: believed or refused, their effect committed, then removed.

Commit, then remove: a letter that is read twice after a kill has the same effect once.
"""

import logging
import sqlite3
from datetime import datetime

from agent import log
from agent.boxes import Inbox, Letter
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keeper.channel import take_repository
from agent.keeper.identity import OwnKeys
from agent.ledger.book import Detail, Item, Ledger
from agent.wire.repository import Channel
from agent.wire.trusted import Trusted

_log = logging.getLogger(__name__)


class Mail:
    """Takes letters into the ledger.

    Args:
        inbox: Where the courier puts them.
        ledger: Where their effect is booked.
        trusted: What is believed; taking a letter may extend it.
        silo: This silo's name.
        keys: This silo's own keys, which follow the roster.
        channel: Which releases it takes.
    """

    def __init__(
        self,
        inbox: Inbox,
        ledger: Ledger,
        trusted: Trusted,
        silo: str,
        keys: OwnKeys | None = None,
        channel: Channel = "stable",
    ) -> None:
        self._keys = keys
        self._inbox = inbox
        self._ledger = ledger
        self._trusted = trusted
        self._silo = silo
        self._channel = channel

    def take_all(self, now: datetime) -> int:
        """Takes every waiting letter and returns how many there were."""
        count = 0
        for letter in self._inbox.letters():
            try:
                with self._ledger.transaction():
                    self._take(letter, now)
            except Refused as error:
                if error.code == "too_early":
                    continue  # it stays: this host's clock may lag a little behind the consortium's
                if error.code == "rolled_back" and self._is_old_news(letter):
                    self._inbox.done(letter.name)
                    continue
                self._set_aside(letter, error.code, error.reason, now)
            except (OSError, MemoryError, sqlite3.OperationalError):
                raise  # the host's fault and not the letter's: it stays for another time
            # Whatever a letter's content brings about, it must not end the keeper, which would
            # find the same letter first thing after every start.
            except Exception as error:  # noqa: BLE001
                why = f"It cannot be read ({type(error).__name__}); tell the consortium."
                self._set_aside(letter, "unreadable", why, now)
            self._inbox.done(letter.name)
            count += 1
        # After the commits, and with no letter either: a kill may have come in between.
        if self._keys is not None and self._trusted.roster is not None:
            self._keys.follow(self._trusted.roster)
        return count

    def _set_aside(self, letter: Letter, code: str, reason: str, now: datetime) -> None:
        log.trouble(_log, "letter refused", kind=letter.kind, code=code)
        detail: Detail = {"kind": letter.kind, "code": code, "reason": reason}
        self._ledger.add("letter", sha256_bytes(letter.content)[:32], "refused", now, detail)

    def _is_old_news(self, letter: Letter) -> bool:
        # The feed tells the whole history: an older edition changes nothing. An old state of the
        # release repository is no news of that kind: the feed shows only the newest, so somebody
        # kept it.
        return letter.kind in {"root", "roster", "catalogue"}

    def _take(self, letter: Letter, now: datetime) -> None:  # noqa: C901 - one case a kind
        match letter.kind:
            case "root":
                self._take_root(letter, now)
            case "roster":
                roster = self._trusted.take_roster(
                    letter.content, now, self._ledger.floor("roster")
                )
                self._keep("roster", "current", letter.content, roster.version, now)
            case "catalogue":
                floor = self._ledger.floor("catalogue")
                catalogue = self._trusted.take_catalogue(letter.content, floor)
                self._keep("catalogue", "current", letter.content, catalogue.version, now)
            case "plan":
                self._take_plan(letter, now)
            case "round":
                self._take_round(letter, now)
            case "handout" | "sum":
                self._take_masked(letter, now)
            case "stable" | "canary":
                take_repository(
                    letter.content, self._channel, self._ledger, self._trusted, self._inbox, now
                )
            case "receipt" | "refusal" | "delivered":
                self._take_answer(letter, now)
            case _:
                raise Refused(
                    "unknown_kind", f"A letter of kind {letter.kind!r} means nothing here."
                )

    def _take_root(self, letter: Letter, now: datetime) -> None:
        # One that is on the way already was signed by keys that may have no say any more.
        if letter.content in (content for _, content in self._ledger.documents("root")):
            return
        root = self._trusted.take_root(letter.content)
        self._keep("root", str(root.version), letter.content, root.version, now)

    def _keep(self, kind: str, doc_id: str, content: bytes, version: int, now: datetime) -> None:
        self._ledger.put_document(kind, doc_id, content, now)
        self._ledger.raise_floor(kind, version)

    def _take_plan(self, letter: Letter, now: datetime) -> None:
        plan = self._trusted.take_plan(letter.content, now)
        self._ledger.put_document("plan", plan.plan_id, letter.content, now)
        if not self._ledger.add("plan", plan.plan_id, "accepted", now, {"version": plan.version}):
            return  # an old plan that a carrier brings again must not replace the present one
        for older in self._ledger.find("plan", "accepted", "declined"):
            if older.id != plan.plan_id:
                self._ledger.move(older, "replaced", now, f"plan {plan.plan_id} came")

    def _take_round(self, letter: Letter, now: datetime) -> None:
        manifest = self._trusted.take_round(letter.content, now)
        if self._silo not in manifest.participants:
            raise Refused("not_participant", f"Silo {self._silo} takes no part in this round.")
        if self._ledger.get("round", manifest.round_id) is None:
            self._check_not_replaced(manifest.plan_id)
        detail: Detail = {"number": manifest.number, "attempt": manifest.attempt}
        detail["manifest"] = manifest.model_dump_json()
        if not self._ledger.add("round", manifest.round_id, "announced", now, detail):
            return  # an old round that a carrier brings again must not close the present one
        self._ledger.put_document("round", manifest.round_id, letter.content, now)
        for older in self._ledger.find("round", "announced", "trained"):
            if older.id != manifest.round_id:
                self._ledger.move(older, "closed", now, f"round {manifest.round_id} came")

    def _take_masked(self, letter: Letter, now: datetime) -> None:
        if letter.kind == "sum":
            found = self._trusted.masked_sum(letter.content)
            self._check_known(found.round_id)
            self._ledger.put_document("sum", found.round_id, letter.content, now)
            return
        handout = self._trusted.handout(letter.content)
        self._check_known(handout.round_id)
        name = f"{handout.round_id}/{handout.part}"
        earlier = self._ledger.document("handout", name)
        if earlier is None:
            self._ledger.put_document("handout", name, letter.content, now)
        elif earlier != letter.content:
            raise Refused("second_handout", "Another such set of this round came before.")

    def _check_known(self, round_id: str) -> None:
        if self._ledger.get("round", round_id) is None:
            raise Refused("unknown_round", f"This silo has taken no round {round_id}.")

    def _check_not_replaced(self, plan_id: str) -> None:
        plan = self._ledger.get("plan", plan_id)
        if plan is not None and plan.state == "replaced":
            raise Refused("plan_replaced", f"Plan {plan_id} was replaced; it has no more rounds.")

    def _take_answer(self, letter: Letter, now: datetime) -> None:
        if letter.kind == "receipt":
            receipt = self._trusted.receipt(letter.content)
            self._answered(receipt.envelope_id, "acknowledged", now, "")
            # The aggregator's countersignature of whatever the envelope says, such as a root.
            self._ledger.put_document("receipt", receipt.envelope_id, letter.content, now)
        elif letter.kind == "refusal":
            refusal = self._trusted.refusal(letter.content)
            self._answered(refusal.envelope_id, "refused", now, refusal.reason)
        else:  # the courier's own note is not signed: it only shows in the status
            self._answered(letter.name.split("-")[1], "delivered", now, "")

    def _answered(self, envelope_id: str, state: str, now: datetime, why: str) -> None:
        statement = self._ledger.get("statement", envelope_id)
        if statement is not None:
            if statement.state == "signed" and state != "delivered":
                self._ledger.move(statement, state, now, why)
            return
        item = update_of(self._ledger, envelope_id)
        if item is None:
            raise Refused("unknown_envelope", "This answers an envelope that was never sent.")
        if item.state in {"sealed", "delivered"} and item.state != state:
            self._ledger.move(item, state, now, why)
        elif item.state in {"held", "withdrawn"} and state != "delivered":
            log.trouble(_log, "held update answered", envelope=envelope_id, state=state)
            self._ledger.move(item, state, now, f"It was on its way when it was held back. {why}")


def update_of(ledger: Ledger, envelope_id: str) -> Item | None:
    """Returns the update that was sealed in an envelope, or None."""
    for item in ledger.find("update"):
        if item.detail.get("envelope_id") == envelope_id:
            return item
    return None
