"""Releases: fetched, verified, staged, gated, on trial, active; or refused with a reason."""

import logging
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from agent import log
from agent.boxes import Inbox
from agent.keeper.channel import release_objects
from agent.keeper.decisions import cases
from agent.keeper.jobs import Workers
from agent.keeper.local import OWNER, local_key
from agent.keeper.orders import PairScore, ReleaseOrder, Result, ShadowRule, TaskScore
from agent.keeper.site import Site
from agent.keeper.training import Ready
from agent.keeper.verdicts import Verdicts
from agent.ledger.book import Detail, Item, Ledger, Score
from agent.releases import folder, gate, quarantine
from agent.releases.attempts import Attempts
from agent.releases.reasons import reason_of
from agent.wire.documents import Catalogue, Plan, ReleaseManifest
from agent.wire.trusted import Trusted

_log = logging.getLogger(__name__)


class Rollout:
    """Leads each release from the inbox to the chemists, or to its refusal.

    Args:
        ledger: Where releases are rows.
        workers: Who checks, fits, exports and scores.
        inbox: Where weights and manifests arrive.
        trusted: The plans and the catalogue that are believed.
        releases: Where releases are installed.
        attempts: Predict's own account of loading them.
        rules: What the gate tolerates.
        site: What this silo adds to an order.
        let_pass: Hashes of weights that a person has released from quarantine.
        verdicts: Tells the consortium what became of each; None tells nothing.
    """

    def __init__(  # noqa: PLR0913 - the parties to a release, each a thing of its own
        self,
        ledger: Ledger,
        workers: Workers,
        inbox: Inbox,
        trusted: Trusted,
        releases: Path,
        attempts: Attempts,
        rules: gate.GateRules,
        site: Site,
        let_pass: frozenset[str] = frozenset(),
        verdicts: Verdicts | None = None,
    ) -> None:
        self._ledger = ledger
        self._workers = workers
        self._inbox = inbox
        self._trusted = trusted
        self._releases = releases
        self._attempts = attempts
        self._rules = rules
        self._site = site
        self._let_pass = let_pass
        self._verdicts = verdicts

    def plans(self) -> list[Plan]:
        """Returns the plans that releases which are still to be checked were made under.

        They need not be in force any more: a plan's last release comes when it ends.
        """
        waiting = self._ledger.find("release", "announced", "fetched")
        known = {_manifest(item).plan_id for item in waiting} & self._trusted.plans.keys()
        return [self._trusted.plans[plan_id][0] for plan_id in sorted(known)]

    def order(self, ready_for: Callable[[Plan], Ready | None], now: datetime) -> None:
        """Orders the checking of each release that has arrived whole, oldest first.

        Args:
            ready_for: Returns a plan's snapshot once this silo's own model is scored on it.
            now: For the ledger.
        """
        for item in self._ledger.find("release", "announced"):
            if not self._is_held(item, now) and self._has_arrived(item):
                self._ledger.move(item, "fetched", now)
        for item in self._ledger.find("release", "fetched"):
            if self._is_held(item, now):
                continue
            plan_id = _manifest(item).plan_id
            if plan_id not in self._trusted.plans or self._trusted.catalogue is None:
                why = f"Plan {plan_id} is not trusted."
                self._ledger.move(item, "refused", now, why, {"reason": "other"})
                continue
            plan = self._trusted.plans[plan_id][0]
            ready = ready_for(plan)
            if ready is not None:
                self._order(item, ready, plan, self._trusted.catalogue, now)
                return  # one at a time: the gate compares each with the one active by then
            self._ledger.explain(item, "It waits for this silo's first snapshot and scores.")

    def _has_arrived(self, item: Item) -> bool:
        return all(self._inbox.object_path(one).exists() for one in release_objects(item))

    def _is_held(self, item: Item, now: datetime) -> bool:
        """Refuses a release at once whose weights were refused before, under whatever name."""
        manifest = _manifest(item)
        case = quarantine.held(
            manifest.weights_sha256, manifest.golden_sha256, cases(self._ledger), self._let_pass
        )
        if case is None:
            return False
        detail: Detail = {"reason": case.reason, "held_as": case.release_id}
        self._ledger.move(item, "refused", now, quarantine.sentence(case), detail)
        log.event(_log, "release held", release=item.id, reason=case.reason)
        return True

    def _order(
        self, item: Item, ready: Ready, plan: Plan, catalogue: Catalogue, now: datetime
    ) -> None:
        manifest = _manifest(item)
        active = folder.active_id(self._releases)
        container = self._ledger.document("release", item.id) or b""
        order = ReleaseOrder(
            release_id=item.id,
            snapshot=ready.snapshot,
            folder=str(ready.folder),
            plan=plan,
            catalogue=catalogue,
            private=self._site.private,
            settings=self._site.settings,
            manifest=manifest,
            container=container.decode("utf-8"),
            weights=str(self._inbox.object_path(manifest.weights_sha256)),
            active=str(folder.path_of(self._releases, active)) if active else "",
            private_weights=self._site.resting_heads(),
            local_scores=tuple(
                _task_score(score)
                for score in self._ledger.scores(OWNER, local_key(ready.snapshot, plan))
            ),
            golden=self._golden(manifest),
            shadow=ShadowRule(
                confidence=self._rules.confidence,
                window_days=self._rules.window_days,
                min_labels=self._rules.min_n,
            ),
        )
        self._workers.submit(f"gate-{item.id}", order, now)

    def _golden(self, manifest: ReleaseManifest) -> str:
        named = manifest.golden_sha256
        return str(self._inbox.object_path(named)) if named else ""

    def book(self, order: ReleaseOrder, result: Result, staged: Path, now: datetime) -> None:
        """Books a checked release: into trial, or refused; call it in the job's transaction."""
        item = self._ledger.get("release", order.release_id)
        if item is None or item.state != "fetched":
            return
        item = self._pass(item, ("verified", "staged"), now)
        scores = [_score(score) for score in result.scores]
        self._ledger.put_scores(order.release_id, order.snapshot, scores)
        verdict = gate.decide(
            {score.task: score.value for score in result.scores},
            [score.task for score in result.active_scores],
            {pair.task: _pair(pair) for pair in result.pairs},
            self._rules,
        )
        findings: Detail = {task: head.sentence for task, head in verdict.per_head.items()}
        detail: Detail = {"snapshot": order.snapshot, "gate": findings}
        detail["local"] = local_key(order.snapshot, order.plan)
        detail["errors"] = {pair.task: [pair.active, pair.candidate] for pair in result.pairs}
        detail["outcomes"] = {task: head.outcome for task, head in verdict.per_head.items()}
        if not verdict.taken:
            detail["reason"] = "worse"
            self._ledger.move(item, "refused", now, " ".join(verdict.reasons), detail)
            log.event(_log, "release refused", release=item.id, heads=len(verdict.reasons))
            return
        self._ledger.move(item, "gated", now, "", detail)
        # A kill after the rename and before the commit has moved the staged folder away already.
        if not folder.path_of(self._releases, order.release_id).is_dir():
            folder.install(staged, self._releases, order.release_id)

    def start_trials(self, now: datetime) -> None:
        """Points `active` at the next gated release; predict loads it and keeps account.

        A trial that is not judged yet comes first: what follows it would else be rolled back to a
        release that nobody has ever seen load.
        """
        if self._ledger.find("release", "trial"):
            return
        for item in self._ledger.find("release", "gated")[:1]:
            folder.activate(self._releases, item.id)
            for older in self._ledger.find("release", "active"):
                self._ledger.move(older, "replaced", now, f"release {item.id} came")
            self._ledger.move(item, "trial", now)
            log.event(_log, "release on trial", release=item.id)

    def judge_trials(self, now: datetime) -> None:
        """Makes a release active once predict has loaded it, or takes it back; says so."""
        for item in self._ledger.find("release", "trial", "active"):
            account = self._attempts.account(item.id)
            if self._attempts.exhausted(item.id):
                self._take_back(item, account.reason or "predict died each time it loaded it", now)
            elif account.loaded and item.state == "trial":
                with self._ledger.transaction():
                    self._ledger.move(item, "active", now)
                    self._tell(now)
                log.event(_log, "release active", release=item.id)
        self._tell(now)

    def _tell(self, now: datetime) -> None:
        # In the transaction of the move: after a kill behind it, the next release on trial would
        # replace this one before anything was said of it.
        if self._verdicts is not None:
            self._verdicts.send(now)

    def _take_back(self, item: Item, why: str, now: datetime) -> None:
        # The link first: after a kill in between, the state says that this is still to be done.
        if folder.active_id(self._releases) == item.id and folder.previous_id(self._releases):
            folder.roll_back(self._releases)
        serving = self._ledger.get("release", folder.active_id(self._releases) or "")
        with self._ledger.transaction():
            self._ledger.move(item, "rolled back", now, why, {"reason": "does_not_load"})
            if serving is not None and serving.state == "replaced":
                self._ledger.move(serving, "active", now, f"release {item.id} was rolled back")
            self._tell(now)
        log.trouble(_log, "release rolled back", release=item.id)

    def give_up(self, order: ReleaseOrder, result: Result, now: datetime) -> None:
        """Refuses a release that could not be checked, or did not pass a check."""
        item = self._ledger.get("release", order.release_id)
        if item is not None and item.state == "fetched":
            detail: Detail = {"code": result.refused_code, "reason": reason_of(result.refused_code)}
            self._ledger.move(item, "refused", now, result.refused, detail)
            log.event(_log, "release refused", release=item.id, code=result.refused_code)

    def _pass(self, item: Item, states: tuple[str, ...], now: datetime) -> Item:
        for state in states:
            self._ledger.move(item, state, now)
            item = self._ledger.get("release", item.id) or item
        return item


def _manifest(item: Item) -> ReleaseManifest:
    return ReleaseManifest.model_validate_json(str(item.detail["manifest"]))


def _score(score: TaskScore) -> Score:
    return Score(score.task, score.metric, score.value, score.n_train, score.n_test)


def _task_score(score: Score) -> TaskScore:
    return TaskScore(
        task=score.task,
        metric=score.metric,
        value=score.value,
        n_train=score.n_train,
        n_test=score.n_test,
    )


def _pair(pair: PairScore) -> gate.Pair:
    low, high = (math.nan if end is None else end for end in (pair.low, pair.high))
    return gate.Pair(pair.metric, pair.candidate, pair.active, pair.n, low, high, pair.since)
