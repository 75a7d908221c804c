"""Letters from the inbox: believed or refused, their effect committed, then removed.

Commit, then remove: a letter that is read twice after a kill has the same effect once.
"""

import logging
import sqlite3
from datetime import datetime
from pathlib import Path

from agent import log
from agent.boxes import Inbox, Letter
from agent.clock import from_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.ledger.book import Detail, Item, Ledger
from agent.wire.trusted import Trusted

_log = logging.getLogger(__name__)


def open_trust(folder: Path, root_sha256: str, ledger: Ledger, now: datetime) -> Trusted:
    """Builds the set of trusted documents from what enrolment pinned and what came since.

    Raises:
        Refused: A pinned document is not valid (a code of `Trusted`); an expired roster is only
            left out, since a newer one may be on its way.
        OSError: A pinned document cannot be read.
    """
    trusted = Trusted((folder / "root.json").read_bytes(), root_sha256, now)
    roster = ledger.document("roster", "current") or (folder / "roster.json").read_bytes()
    try:
        trusted.take_roster(roster, now, ledger.floor("roster"))
    except Refused as error:
        if error.code != "expired":
            raise
        # Without a roster nothing is sealed; a newer one may wait in the inbox.
        log.trouble(_log, "the roster expired", why=error.reason)
    catalogue = ledger.document("catalogue", "current") or (folder / "catalogue.json").read_bytes()
    trusted.take_catalogue(catalogue, ledger.floor("catalogue"))
    # Ended plans, too: a release may name one. Each is judged as on the day when it was believed;
    # whether it is in force now is another question (`plans.plan_in_force`).
    for item in ledger.find("plan"):
        try:
            trusted.take_plan(ledger.document("plan", item.id) or b"", from_text(item.created))
        except Refused as error:
            log.trouble(_log, "plan not believed again", plan=item.id, code=error.code)
    return trusted


class Mail:
    """Takes letters into the ledger.

    Args:
        inbox: Where the courier puts them.
        ledger: Where their effect is booked.
        trusted: What is believed; taking a letter may extend it.
        silo: This silo's name.
    """

    def __init__(self, inbox: Inbox, ledger: Ledger, trusted: Trusted, silo: str) -> None:
        self._inbox = inbox
        self._ledger = ledger
        self._trusted = trusted
        self._silo = silo

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
        return count

    def _set_aside(self, letter: Letter, code: str, reason: str, now: datetime) -> None:
        log.trouble(_log, "letter refused", kind=letter.kind, code=code)
        detail: Detail = {"kind": letter.kind, "code": code, "reason": reason}
        self._ledger.add("letter", sha256_bytes(letter.content)[:32], "refused", now, detail)

    def _is_old_news(self, letter: Letter) -> bool:
        # The feed tells the whole history: an older edition changes nothing, and a release that
        # was booked before a kill, or that is brought once more, is below its own floor.
        if letter.kind == "release":
            return letter.content in (content for _, content in self._ledger.documents("release"))
        return letter.kind in {"roster", "catalogue"}

    def _take(self, letter: Letter, now: datetime) -> None:
        match letter.kind:
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
            case "release":
                self._take_release(letter, now)
            case "receipt" | "refusal" | "delivered":
                self._take_answer(letter, now)
            case _:
                raise Refused(
                    "unknown_kind", f"A letter of kind {letter.kind!r} means nothing here."
                )

    def _keep(self, kind: str, doc_id: str, content: bytes, version: int, now: datetime) -> None:
        self._ledger.put_document(kind, doc_id, content, now)
        self._ledger.raise_floor(kind, version)

    def _take_plan(self, letter: Letter, now: datetime) -> None:
        plan = self._trusted.take_plan(letter.content, now)
        self._ledger.put_document("plan", plan.plan_id, letter.content, now)
        if not self._ledger.add("plan", plan.plan_id, "accepted", now, {"version": plan.version}):
            return  # an old plan that a carrier brings again must not replace the present one
        for older in self._ledger.find("plan", "accepted"):
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

    def _check_not_replaced(self, plan_id: str) -> None:
        plan = self._ledger.get("plan", plan_id)
        if plan is not None and plan.state == "replaced":
            raise Refused("plan_replaced", f"Plan {plan_id} was replaced; it has no more rounds.")

    def _take_release(self, letter: Letter, now: datetime) -> None:
        manifest = self._trusted.take_release(letter.content, now, self._ledger.floor("release"))
        self._keep("release", manifest.release_id, letter.content, manifest.version, now)
        self._ledger.add(
            "release",
            manifest.release_id,
            "announced",
            now,
            {"version": manifest.version, "manifest": manifest.model_dump_json()},
        )

    def _take_answer(self, letter: Letter, now: datetime) -> None:
        if letter.kind == "receipt":
            receipt = self._trusted.receipt(letter.content)
            self._answered(receipt.envelope_id, "acknowledged", now, "")
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


def update_of(ledger: Ledger, envelope_id: str) -> Item | None:
    """Returns the update that was sealed in an envelope, or None."""
    for item in ledger.find("update"):
        if item.detail.get("envelope_id") == envelope_id:
            return item
    return None
