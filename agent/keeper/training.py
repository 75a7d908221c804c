"""Rounds: from an announced round to a sealed update in the outbox."""

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent import __version__, log
from agent.boxes import Inbox, Outbox
from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.keeper.dispatch import LIFE, WAITS_FOR_APPROVAL
from agent.keeper.identity import OwnKeys
from agent.keeper.jobs import Workers
from agent.keeper.orders import Result, RoundOrder
from agent.keeper.paying import Paying
from agent.keeper.site import Site
from agent.ledger import egress
from agent.ledger.book import Detail, Item, Ledger
from agent.wire.documents import Plan, RoundManifest, UpdateCore
from agent.wire.envelope import seal
from agent.wire.hybrid import Hybrid
from agent.wire.signed import key_id
from agent.wire.trusted import Trusted

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """A frozen snapshot that training may use."""

    snapshot: str
    folder: Path


class Rounds:
    """Orders the training for each round and seals what comes back.

    Args:
        ledger: Where rounds and updates are rows.
        workers: Who trains.
        inbox: Where a round's base weights arrive.
        outbox: Where sealed updates wait.
        trusted: The plans, the roster and the catalogue that are believed.
        keys: The silo's own keys.
        silo: This silo's name.
        site: What this silo adds to an order.
    """

    def __init__(  # noqa: PLR0913 - the parties to a round, each a thing of its own
        self,
        ledger: Ledger,
        workers: Workers,
        inbox: Inbox,
        outbox: Outbox,
        trusted: Trusted,
        keys: OwnKeys,
        silo: str,
        site: Site,
    ) -> None:
        self._ledger = ledger
        self._workers = workers
        self._inbox = inbox
        self._outbox = outbox
        self._trusted = trusted
        self._keys = keys
        self._silo = silo
        self._site = site
        self._paying = Paying(ledger, site)

    def close_late(self, now: datetime) -> None:
        """Closes the announced rounds whose deadline has passed."""
        for item in self._ledger.find("round", "announced"):
            if from_text(_manifest(item).deadline) <= now:
                self._ledger.move(item, "closed", now, "its deadline passed before training")

    def order(self, plan: Plan | None, ready: Ready | None, now: datetime, hold: str = "") -> None:
        """Orders the training of the announced rounds, or says what they wait for.

        Args:
            plan: The plan in force.
            ready: Its snapshot.
            now: For the ledger.
            hold: Why the site's policy takes no round at present, or empty.
        """
        for item in self._ledger.find("round", "announced"):
            manifest = _manifest(item)
            base = self._inbox.object_path(manifest.base_sha256)
            why = hold or _waits_for(manifest, plan, ready, base)
            self._ledger.explain(item, why)
            if why or plan is None or ready is None or self._trusted.catalogue is None:
                continue
            job = f"round-{manifest.round_id}"
            if self._ledger.get("job", job) is not None:
                continue
            try:  # durable before the job is: a kill in between leaves it spent
                noise = self._paying.reserve(plan, manifest, now)
            except Refused as error:
                self._ledger.move(item, "skipped", now, str(error))
                log.trouble(_log, "round not paid for", round=item.id, code=error.code)
                continue
            order = RoundOrder(
                snapshot=ready.snapshot,
                folder=str(ready.folder),
                plan=plan,
                catalogue=self._trusted.catalogue,
                private=self._site.private,
                settings=self._site.settings,
                manifest=manifest,
                base=str(base),
                private_weights=self._site.resting_heads(),
                moments=self._site.resting_moments(plan.plan_id),
                noise=noise,
            )
            self._workers.submit(job, order, now)

    def seal(
        self,
        order: RoundOrder,
        result: Result,
        payload: bytes,
        now: datetime,
        *,
        approval: bool = False,
    ) -> str:
        """Seals a finished update; call it in the job's transaction, and settle after it.

        Args:
            order: What was ordered.
            result: What came of it.
            payload: The update.
            now: For the ledger.
            approval: A person must approve it before it leaves.

        Returns:
            The envelope's id.

        Raises:
            Refused: `no_post_quantum_key`; `wrong_reference`: this host computes other features
                than the consortium; or as `Paying.commit`.
        """
        round_item = self.check(order, result)
        envelope_id = self.send(order.manifest, order.plan, result, payload, now, approval=approval)
        self._ledger.move(round_item, "trained", now)
        log.event(_log, "update sealed", round=order.manifest.round_id, bytes=len(payload))
        return envelope_id

    def check(self, order: RoundOrder, result: Result) -> Item:
        """Checks that what was trained may be used, and returns its round's row.

        Raises:
            Refused: `wrong_reference`, or `round_closed`.
        """
        if result.reference_sha256 != order.plan.reference_sha256:
            raise Refused(
                "wrong_reference",
                "This host's features differ from the consortium's; install the RDKit version "
                "that the plan was made with. Nothing was sent.",
            )
        round_item = self._ledger.get("round", order.manifest.round_id)
        if round_item is None or round_item.state != "announced":
            raise Refused("round_closed", "The round closed while its training ran.")
        return round_item

    def send(
        self,
        manifest: RoundManifest,
        plan: Plan,
        result: Result,
        payload: bytes,
        now: datetime,
        *,
        approval: bool,
    ) -> str:
        """Stages and books an envelope for a round; call it in a transaction.

        Returns:
            The envelope's id.

        Raises:
            Refused: `no_post_quantum_key`, `no_roster`, or `already_sealed`.
        """
        core = self._core(manifest, plan, result, now)
        hybrid = self._hybrid(manifest)
        envelope_id = self._outbox.stage(
            lambda blob: seal(payload, core, manifest.seal_key, self._keys, blob, hybrid)
        )
        self._book(envelope_id, manifest, now, "held" if approval else "sealed")
        return envelope_id

    def _hybrid(self, manifest: RoundManifest) -> Hybrid | None:
        # Whether the round must have such a key, its plan has decided (`Trusted.take_round`).
        if manifest.kem_key is None:
            return None
        return Hybrid(manifest.kem_key, self._keys.post_quantum())

    def _core(
        self, manifest: RoundManifest, plan: Plan, result: Result, now: datetime
    ) -> UpdateCore:
        if self._trusted.roster is None:
            raise Refused("no_roster", "No roster is trusted; enrol again.")
        return UpdateCore(
            consortium=manifest.consortium,
            silo=self._silo,
            sequence=len(self._ledger.find("update")) + 1,
            roster_version=self._trusted.roster.version,
            roster_sha256=self._trusted.roster_sha256,
            plan_id=manifest.plan_id,
            round_id=manifest.round_id,
            attempt=manifest.attempt,
            base_sha256=manifest.base_sha256,
            feature_sha256=result.feature_sha256,
            reference_sha256=result.reference_sha256,
            agent_version=__version__,
            created=to_text(now),
            expires=to_text(now + LIFE),
            recipient=key_id(manifest.seal_key),
            commitment="0" * 64,
            privacy=self._paying.commit(plan, manifest, now),
            egress_head=egress.egress_head(self._ledger),
        )

    def _book(self, envelope_id: str, manifest: RoundManifest, now: datetime, state: str) -> None:
        size, blob_sha256 = self._outbox.staged(envelope_id)
        detail: Detail = {"envelope_id": envelope_id, "bytes": size, "number": manifest.number}
        is_first = self._ledger.add("update", manifest.round_id, "drafted", now, detail)
        update = self._ledger.get("update", manifest.round_id)
        if not is_first or update is None:
            raise Refused("already_sealed", "An update of this round was sealed before.")
        why = WAITS_FOR_APPROVAL.format(envelope_id[:12]) if state == "held" else ""
        self._ledger.move(update, state, now, why)
        leaf = egress.departure(
            now,
            self._outbox.staged_header(envelope_id),
            envelope_id,
            manifest.consortium,
            manifest.round_id,
            0 if state == "held" else size,
            blob_sha256,
            "held" if state == "held" else "released",
        )
        egress.book(self._ledger, leaf)

    def give_up(self, order: RoundOrder, reason: str, now: datetime) -> None:
        """Skips a round whose training could not be done."""
        item = self._ledger.get("round", order.manifest.round_id)
        if item is not None and item.state == "announced":
            self._ledger.move(item, "skipped", now, reason)


def _waits_for(manifest: RoundManifest, plan: Plan | None, ready: Ready | None, base: Path) -> str:
    if plan is None or plan.plan_id != manifest.plan_id:
        return f"Plan {manifest.plan_id} is no longer in force."
    if ready is None:
        return "No snapshot is frozen yet: measurements are still being read, or too few."
    if not base.exists():
        return "Its base weights have not arrived."
    return ""


def _manifest(item: Item) -> RoundManifest:
    return RoundManifest.model_validate_json(str(item.detail["manifest"]))
