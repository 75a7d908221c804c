"""The site's policy as the keeper sees it: signed off or not, and what it says to each plan."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent import log
from agent.clock import from_text
from agent.errors import Refused, Stop
from agent.keeper.hours import Hours
from agent.keeper.statements import Objected, Statements
from agent.ledger.book import Detail, Item, Ledger
from agent.policy.judge import (
    WEEK,
    Verdict,
    judge_plan,
    judge_round,
    outside_hours,
    peers_of,
)
from agent.policy.rules import DEFAULT, Policy, parse_policy
from agent.policy.signing import Found, SignOff, check, look
from agent.wire.documents import RoundManifest
from agent.wire.trusted import Trusted

_log = logging.getLogger(__name__)
SITE = "site"


@dataclass(frozen=True, slots=True)
class Standing:
    """Which policy is in force.

    Attributes:
        policy: The last one that was signed off, or the default one.
        shut: Why nothing may leave, as a sentence; empty while the policy's file is in order.
    """

    policy: Policy
    shut: str = ""


class PolicyFile:
    """Believes the policy's file, or says why not.

    The last one that was signed off stays known: in the ledger, with who signed it and when.

    Args:
        ledger: Where that is.
        path: The policy's file; its signature is beside it.
        officer: The pinned public key of whoever signs it off; empty pins the first.
    """

    def __init__(self, ledger: Ledger, path: Path, officer: str) -> None:
        self._ledger = ledger
        self._path = path
        self._officer = officer
        self._seen: Found | None = None
        self._standing = Standing(last_known(ledger))

    def look(self, now: datetime) -> Standing:
        """Reads both files; nothing is done while they are as they were."""
        found = look(self._path)
        if found == self._seen:
            return self._standing
        self._ledger.add("policy", SITE, "default", now, {})
        for item in self._ledger.find("policy"):
            self._standing = self._judge(item, found, now)
        self._seen = found
        return self._standing

    def _judge(self, item: Item, found: Found, now: datetime) -> Standing:
        known = last_known(self._ledger)
        if found == Found(None, None) and "sha256" not in item.detail:
            self._move(item, "default", now, "")
            return Standing(known)
        try:
            signed = check(found, self._officer or str(item.detail.get("officer", "")))
            policy = self._read(found, signed, item)
        except Refused as error:
            why = f"{error.reason} Nothing leaves until it is signed off: {self._command()}."
            self._move(item, "unsigned", now, f"{why} [{error.code}]")
            return Standing(known, why)
        self._book(item, signed, found, now)
        return Standing(policy)

    def _command(self) -> str:
        return f"`onggi policy sign {self._path} --key OFFICER.key`"

    def _read(self, found: Found, signed: SignOff, item: Item) -> Policy:
        try:
            policy = parse_policy(found.policy or b"", self._path)
        except Stop as error:
            raise Refused("policy_malformed", str(error)) from error
        if policy.version != signed.version:
            raise Refused("policy_altered", "The sign-off is of another version of the policy.")
        is_new = signed.policy_sha256 != item.detail.get("sha256")
        floor = self._ledger.floor("policy")
        # Or else an old, looser policy could be put back together with its old signature.
        if is_new and signed.version <= floor:
            raise Refused(
                "rolled_back",
                f"Version {signed.version} is not above {floor}, which was signed off before; "
                "count `version` up in the file.",
            )
        return policy

    def _book(self, item: Item, signed: SignOff, found: Found, now: datetime) -> None:
        sha256 = signed.policy_sha256
        if item.state == "signed" and item.detail.get("sha256") == sha256:
            return
        detail: Detail = {
            "sha256": sha256,
            "version": signed.version,
            "officer": signed.key,
            "signer": signed.signer,
            "signed": signed.signed,
        }
        with self._ledger.transaction():
            self._ledger.put_document("policy", sha256, found.policy or b"", now)
            self._ledger.put_document("policy_signature", sha256, found.signature or b"", now)
            self._ledger.raise_floor("policy", signed.version)
            self._ledger.move(item, "signed", now, "", detail)
        log.event(_log, "policy signed off", policy=sha256, version=signed.version)

    def _move(self, item: Item, state: str, now: datetime, why: str) -> None:
        if item.state != state:
            log.trouble(_log, "policy not in order", state=state)
            self._ledger.move(item, state, now, why)
        elif item.why != why:
            self._ledger.explain(item, why)


def last_known(ledger: Ledger) -> Policy:
    """Returns the last policy that was signed off, or the default one."""
    item = ledger.get("policy", SITE)
    content = ledger.document("policy", str(item.detail.get("sha256"))) if item else None
    return DEFAULT if content is None else parse_policy(content, Path("the policy in the ledger"))


class Policing:
    """Declines what the policy does not allow, by name, here and to the consortium.

    Args:
        ledger: Where plans and rounds are rows.
        trusted: The plans and the roster that are believed.
        statements: Tells the consortium.
        silo: This silo's name.
        file: The policy's file.
    """

    def __init__(
        self, ledger: Ledger, trusted: Trusted, statements: Statements, silo: str, file: PolicyFile
    ) -> None:
        self._ledger = ledger
        self._trusted = trusted
        self._statements = statements
        self._silo = silo
        self._file = file

    def enforce(self, now: datetime) -> Standing:
        """Judges every plan that is not over, and every round that is not taken yet."""
        standing = self._file.look(now)
        roster = self._trusted.roster
        if roster is None or standing.shut:
            return standing  # nothing is taken now, and nothing leaves: what it is can wait
        peers = peers_of(roster)
        for item in self._ledger.find("plan", "accepted", "declined"):
            self._judge_plan(item, standing.policy, peers, now)
        for item in self._ledger.find("round", "announced"):
            self._judge_round(item, standing.policy, peers, now)
        return standing

    def _judge_plan(
        self, item: Item, policy: Policy, peers: Mapping[str, str], now: datetime
    ) -> None:
        plan, sha256 = self._trusted.plans.get(item.id, (None, ""))
        if plan is None or from_text(plan.expires) <= now:
            return
        verdict = judge_plan(plan, policy, peers, self._silo)
        if verdict.allowed:
            if item.state == "declined":
                self._ledger.move(item, "accepted", now, "", {"codes": []})
            return
        if item.state == "declined" and item.detail.get("codes") == list(verdict.codes):
            return
        with self._ledger.transaction():
            self._ledger.move(item, "declined", now, _declined(verdict), _codes(verdict))
            what = Objected(item.id, sha256, "", verdict.codes)
            self._statements.decline(what, policy, now)
        log.trouble(_log, "plan declined", plan=item.id, codes=",".join(verdict.codes))

    def _judge_round(
        self, item: Item, policy: Policy, peers: Mapping[str, str], now: datetime
    ) -> None:
        manifest = RoundManifest.model_validate_json(str(item.detail["manifest"]))
        plan = self._ledger.get("plan", manifest.plan_id)
        if plan is not None and plan.state == "declined":
            self._ledger.move(item, "skipped", now, f"Its plan {plan.id} is declined.")
            return
        verdict = judge_round(manifest, policy, peers, self._silo, self._taken(now))
        if verdict.allowed:
            return
        with self._ledger.transaction():
            self._ledger.move(item, "skipped", now, _declined(verdict), _codes(verdict))
            what = Objected(
                manifest.plan_id, manifest.plan_sha256, manifest.round_id, verdict.codes
            )
            self._statements.decline(what, policy, now)
        log.trouble(_log, "round declined", round=item.id, codes=",".join(verdict.codes))

    def _taken(self, now: datetime) -> int:
        return sum(from_text(item.created) > now - WEEK for item in self._ledger.find("update"))

    def not_approved(self, round_id: str, policy: Policy, now: datetime) -> None:
        """Tells the consortium that a person let a round's update not leave."""
        item = self._ledger.get("round", round_id)
        if item is None:
            return
        manifest = RoundManifest.model_validate_json(str(item.detail["manifest"]))
        what = Objected(manifest.plan_id, manifest.plan_sha256, round_id, ("not_approved",))
        self._statements.decline(what, policy, now)


def holds_back(standing: Standing, now: datetime) -> str:
    """Says why no round is taken at present, or nothing."""
    hours = Hours.parse(standing.policy.ask.hours)
    local = now.astimezone()  # the host's own zone, as for the hours of training
    within = hours is None or hours.has(local)
    waits = outside_hours(standing.policy.ask.hours, local, within=within)
    return standing.shut or waits.sentence


def _declined(verdict: Verdict) -> str:
    return f"The policy declines it. {verdict.sentence}"


def _codes(verdict: Verdict) -> Detail:
    return {"codes": list(verdict.codes)}
