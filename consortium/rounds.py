"""The life of a round, as pure decisions: no clock, no database, no keys.

    collecting -> closed -> aggregated     all envelopes are in, or the quorum at the deadline
    collecting -> aborted                  too few at the deadline
    closed -> aborted                      too few could be opened, or the sealing key is lost

An aborted round is tried again as a new attempt: new id, new sealing key, same base. Silos whose
updates could not be used sit out the further attempts at that round, as far as the plan's quorum
allows.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from agent.clock import from_text, to_text
from agent.wire.documents import MaskTerms, ObjectRef, Plan, RoundManifest
from agent.wire.masking.terms import bits_for

Decision = Literal["wait", "close", "abort"]
# Attempts at one round that bad updates spoil before the plan is given up.
MOST_SPOILT = 3


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


@dataclass(frozen=True, slots=True)
class Start:
    """What a round begins with.

    Attributes:
        participants: Silos that may take part.
        base: The weights to start from.
        seal_key: The round's public sealing key, in hexadecimal.
        kem_key: Its post-quantum half under the hybrid profile, else None.
        roster_sha256: The roster in force, for a masked round.
    """

    participants: tuple[str, ...]
    base: ObjectRef
    seal_key: str
    kem_key: str | None = None
    roster_sha256: str = ""


def decide(
    held: int, expected: int, quorum: int, manifest: RoundManifest, now: datetime
) -> Decision:
    """Says what becomes of a collecting round.

    Args:
        held: How many whole envelopes of silos in good standing are here.
        expected: How many of the round's participants are in good standing.
        quorum: How many the plan asks for.
        manifest: The round's manifest.
        now: The time.
    """
    if held >= max(expected, quorum):
        return "close"
    if now < from_text(manifest.deadline):
        return "wait"
    return "close" if held >= quorum else "abort"


def invited(plan: Plan, standing: Set[str], spoilt: Sequence[Set[str]]) -> tuple[str, ...] | None:
    """Says who takes part in the next attempt at a round, or None when the plan must end.

    The quorum is the plan's, which the offline keys signed; it is never lowered.

    Args:
        plan: The plan.
        standing: Silos that are enrolled and not revoked.
        spoilt: The silos whose updates could not be used, for each aborted attempt at this round
            that had such.
    """
    left = tuple(silo for silo in plan.participants if silo in standing)
    if len(left) < plan.quorum:
        return None
    faulty = set().union(*spoilt)
    good = tuple(silo for silo in left if silo not in faulty)
    if len(good) >= plan.quorum:
        return good
    return left if len(spoilt) < MOST_SPOILT else None


def releases_after(plan: Plan, number: int) -> bool:
    """Tells whether round `number` of the plan ends in a release."""
    return number % plan.recipe.release_every == 0 or is_last(plan, number)


def is_last(plan: Plan, number: int) -> bool:
    """Tells whether round `number` is the plan's last."""
    return number >= plan.recipe.rounds


def make_manifest(
    plan: Plan, plan_sha256: str, attempt: Attempt, start: Start, now: datetime
) -> RoundManifest:
    """Writes the manifest of a round that opens now.

    The deadline is never after the plan's own end.
    """
    deadline = min(now + timedelta(seconds=plan.round_deadline_s), from_text(plan.expires))
    masking = mask_terms(plan, start, deadline)
    if masking is not None:
        # Training ends with the keys, for only then a silo knows what it has to share.
        deadline = from_text(masking.keys_by) + timedelta(seconds=masking.rules.step_s)
    return RoundManifest(
        consortium=plan.consortium,
        round_id=round_id(plan.plan_id, attempt),
        plan_id=plan.plan_id,
        plan_sha256=plan_sha256,
        number=attempt.number,
        attempt=attempt.attempt,
        base_sha256=start.base.sha256,
        base_bytes=start.base.bytes,
        seal_key=start.seal_key,
        kem_key=start.kem_key,
        participants=start.participants,
        opens=to_text(now),
        deadline=to_text(deadline),
        masking=masking,
    )


def mask_terms(plan: Plan, start: Start, trained: datetime) -> MaskTerms | None:
    """Writes how a round's updates are masked, or None where the plan does not ask for it.

    Args:
        plan: The plan.
        start: What the round begins with.
        trained: Until when silos may train.
    """
    rules = plan.privacy.masking
    if rules is None:
        return None
    step = timedelta(seconds=rules.step_s)
    return MaskTerms(
        roster_sha256=start.roster_sha256,
        rules=rules,
        bits=bits_for(len(start.participants), rules.headroom),
        keys_by=to_text(trained),
        acks_by=to_text(trained + 2 * step),
        unmask_by=to_text(trained + 3 * step),
    )


def round_id(plan_id: str, attempt: Attempt) -> str:
    """Returns the id of an attempt at a round; it never comes twice."""
    return f"{plan_id}.r{attempt.number}.a{attempt.attempt}"
