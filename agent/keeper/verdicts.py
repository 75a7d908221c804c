"""Tells the consortium what became of each release, as far as the site's configuration allows."""

import base64
import logging
from datetime import datetime
from typing import Literal

from agent import log
from agent.assays.endpoints import PRIVATE
from agent.boxes import Outbox
from agent.clock import to_text
from agent.files import sha256_bytes
from agent.ledger import egress
from agent.ledger.book import Detail, Item, Ledger
from agent.releases.reasons import as_reason
from agent.wire.documents import ReleaseManifest
from agent.wire.signed import Signer, sign
from agent.wire.statements import Leaf
from agent.wire.verdict import KIND, HeadWord, Verdict

_log = logging.getLogger(__name__)

Tell = Literal["nothing", "class", "heads"]


class Verdicts:
    """Signs a verdict, books it as what leaves, and lays it into the outbox.

    Args:
        ledger: Where releases and statements are rows.
        outbox: Where they wait for the courier.
        signer: The silo's signing key.
        silo: This silo's name.
        tell: How much the consortium learns.
    """

    def __init__(
        self, ledger: Ledger, outbox: Outbox, signer: Signer, silo: str, tell: Tell
    ) -> None:
        self._ledger = ledger
        self._outbox = outbox
        self._signer = signer
        self._silo = silo
        self._tell = tell

    def send(self, now: datetime) -> int:
        """Says what is not said yet; returns how many verdicts that were.

        One that was taken and is rolled back later gets a second verdict.
        """
        if self._tell == "nothing":
            return 0
        told = {
            (str(item.detail.get("about")), str(item.detail.get("outcome")))
            for item in self._ledger.find("statement")
        }
        due = [
            (item, outcome)
            for item in self._ledger.find("release", "active", "refused", "rolled back")
            if (item.id, outcome := _outcome(item)) not in told
        ]
        for item, outcome in due:
            with self._ledger.transaction():
                self._say(item, outcome, now)
        return len(due)

    def _say(self, item: Item, outcome: Literal["taken", "refused"], now: datetime) -> None:
        manifest = ReleaseManifest.model_validate_json(str(item.detail["manifest"]))
        reason = as_reason(str(item.detail.get("reason", ""))) if outcome == "refused" else None
        verdict = Verdict(
            consortium=manifest.consortium,
            silo=self._silo,
            release_id=item.id,
            weights_sha256=manifest.weights_sha256,
            outcome=outcome,
            reason=reason,
            heads=_heads(item) if self._tell == "heads" else (),
            created=to_text(now),
        )
        content = sign(KIND, verdict.to_bytes(), self._signer)
        statement_id = self._outbox.stage(lambda _blob: content)
        detail: Detail = {"kind": KIND, "about": item.id, "outcome": outcome}
        self._ledger.put_document("statement", statement_id, content, now)
        self._ledger.add("statement", statement_id, "signed", now, detail)
        leaf = Leaf(
            at=to_text(now),
            envelope_id=statement_id,
            kind="verdict",
            to=manifest.consortium,
            about=item.id,
            decision="released",
            by="policy",
            bytes=len(content),
            blob_sha256=sha256_bytes(b""),
            header=base64.b64encode(content).decode("ascii"),
        )
        egress.book(self._ledger, leaf)
        log.event(_log, "verdict signed", release=item.id, outcome=outcome)


def _outcome(item: Item) -> Literal["taken", "refused"]:
    return "taken" if item.state == "active" else "refused"


def _heads(item: Item) -> tuple[HeadWord, ...]:
    outcomes = item.detail.get("outcomes")
    shared = {
        task: outcome
        for task, outcome in (outcomes.items() if isinstance(outcomes, dict) else ())
        if not task.startswith(PRIVATE)
    }
    return tuple(
        HeadWord.model_validate({"task": task, "outcome": outcome})
        for task, outcome in sorted(shared.items())
    )
