"""The life of a round, as pure decisions: no clock, no database, no keys.

    collecting -> closed -> aggregated     all envelopes are in, or the quorum at the deadline
    collecting -> aborted                  too few at the deadline
    closed -> aborted                      too few could be opened, or the sealing key is lost

An aborted round is tried again as a new attempt: new id, new sealing key, same base.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from agent.clock import from_text, to_text
from agent.wire.documents import ObjectRef, Plan, RoundManifest

Decision = Literal["wait", "close", "abort"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which attempt at which round of a plan."""

    number: int
    attempt: int

    def again(self) -> "Attempt":
        """Returns the next attempt at the same round."""
        return Attempt(self.number, self.attempt + 1)

    def following(self) -> "Attempt":
        """Returns the first attempt at the next round."""
        return Attempt(self.number + 1, 1)


def decide(held: int, quorum: int, manifest: RoundManifest, now: datetime) -> Decision:
    """Says what becomes of a collecting round.

    Args:
        held: How many whole envelopes are here.
        quorum: How many the plan asks for.
        manifest: The round's manifest.
        now: The time.
    """
    if held >= len(manifest.participants):
        return "close"
    if now < from_text(manifest.deadline):
        return "wait"
    return "close" if held >= quorum else "abort"


def releases_after(plan: Plan, number: int) -> bool:
    """Tells whether round `number` of the plan ends in a release."""
    return number % plan.recipe.release_every == 0 or is_last(plan, number)


def is_last(plan: Plan, number: int) -> bool:
    """Tells whether round `number` is the plan's last."""
    return number >= plan.recipe.rounds


def make_manifest(
    plan: Plan,
    plan_sha256: str,
    attempt: Attempt,
    base: ObjectRef,
    seal_key: str,
    now: datetime,
) -> RoundManifest:
    """Writes the manifest of a round that opens now.

    The deadline is never after the plan's own end.
    """
    deadline = min(now + timedelta(seconds=plan.round_deadline_s), from_text(plan.expires))
    return RoundManifest(
        consortium=plan.consortium,
        round_id=round_id(plan.plan_id, attempt),
        plan_id=plan.plan_id,
        plan_sha256=plan_sha256,
        number=attempt.number,
        attempt=attempt.attempt,
        base_sha256=base.sha256,
        base_bytes=base.bytes,
        seal_key=seal_key,
        participants=plan.participants,
        opens=to_text(now),
        deadline=to_text(deadline),
    )


def round_id(plan_id: str, attempt: Attempt) -> str:
    """Returns the id of an attempt at a round; it never comes twice."""
    return f"{plan_id}.r{attempt.number}.a{attempt.attempt}"
