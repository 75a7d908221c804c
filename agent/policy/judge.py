"""What the policy says to a plan and to a round: a pure decision, every objection at once."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from agent.clock import from_text
from agent.errors import Refused
from agent.policy.rules import Policy
from agent.wire.documents import Plan, Privacy, Roster, RoundManifest
from agent.wire.network import expected_shapes
from agent.wire.signed import key_id

Code = Literal[
    "endpoint_not_allowed",
    "network_too_large",
    "too_many_rounds",
    "too_few_participants",
    "peer_not_pinned",
    "privacy_required",
    "epsilon_too_large",
    "masking_required",
    "outside_hours",
    "not_approved",
    "not_judged",
]
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a plan or a round asks, in numbers.

    Attributes:
        endpoints: The endpoints to train.
        parameters: Of the network.
        rounds_per_week: On average over the plan's time, or of the last seven days.
        participants: Names of the silos.
        epsilon: None without differential privacy.
        masked: Whether the aggregator learns sums only.
    """

    endpoints: tuple[str, ...]
    parameters: int
    rounds_per_week: float
    participants: tuple[str, ...]
    epsilon: float | None
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The policy's answer.

    Attributes:
        objections: A sentence by code; empty when it is allowed.
    """

    objections: Mapping[Code, str]

    @property
    def allowed(self) -> bool:
        """Whether there is no objection."""
        return not self.objections

    @property
    def codes(self) -> tuple[Code, ...]:
        """The codes, in a fixed order."""
        return tuple(self.objections)

    @property
    def sentence(self) -> str:
        """All objections for people."""
        return " ".join(f"{text} [{code}]" for code, text in self.objections.items())


def judge_plan(plan: Plan, policy: Policy, peers: Mapping[str, str], silo: str) -> Verdict:
    """Holds a plan against the policy; one that nobody can make sense of is objected to as well.

    Args:
        plan: The plan; its signature was checked.
        policy: The site's.
        peers: As for `judge`.
        silo: This silo.
    """
    try:
        ask = asked_by(plan)
    except (Refused, ValueError):  # the 31st of February has the form of a date
        return Verdict({"not_judged": "Its network or its dates make no sense."})
    return judge(ask, policy, peers, silo)


def asked_by(plan: Plan) -> Ask:
    """Reads from a plan what it asks.

    Raises:
        Refused: As `expected_shapes`: the plan's network cannot be built at all.
        ValueError: It names a date that does not exist.
    """
    shapes = expected_shapes(plan.network, plan.features, plan.endpoints)
    window = from_text(plan.expires) - from_text(plan.not_before)
    weeks = max(window / WEEK, 1.0)  # the most that may fall into one week of a short plan
    return Ask(
        endpoints=plan.endpoints,
        parameters=sum(map(math.prod, shapes.values())),
        rounds_per_week=plan.recipe.rounds / weeks,
        participants=plan.participants,
        epsilon=None if isinstance(plan.privacy, Privacy) else plan.privacy.epsilon,
        masked=plan.privacy.masking is not None,
    )


def judge(ask: Ask, policy: Policy, peers: Mapping[str, str], silo: str) -> Verdict:
    """Holds what is asked against the policy.

    Args:
        ask: What is asked.
        policy: The site's.
        peers: The signing key's id of every silo of the roster that is not revoked.
        silo: This silo, which always counts as a peer of itself.
    """
    found = [
        *_endpoints(ask, policy),
        *_sizes(ask, policy),
        *_peers(ask.participants, policy, peers, silo),
        *_privacy(ask, policy),
    ]
    return Verdict(dict(found))


def judge_round(
    manifest: RoundManifest, policy: Policy, peers: Mapping[str, str], silo: str, taken: int
) -> Verdict:
    """Holds one round against the policy: the online key may have left silos out of it.

    Args:
        manifest: The round.
        policy: The site's.
        peers: As for `judge`.
        silo: This silo.
        taken: How many rounds this silo has taken in the last seven days.
    """
    found = list(_peers(manifest.participants, policy, peers, silo))
    limit = policy.ask.max_rounds_per_week
    if taken >= limit:
        found.append(("too_many_rounds", f"{taken} rounds were taken this week, of {limit}."))
    return Verdict(dict(found))


def outside_hours(hours: str, local: datetime, *, within: bool) -> Verdict:
    """Says that a round waits for the policy's hours, unless it is one of them.

    Args:
        hours: As the policy writes them.
        local: The local time.
        within: Whether that is one of the hours.
    """
    if within:
        return Verdict({})
    return Verdict({"outside_hours": f"At {local:%H:%M} it waits for the policy's hours, {hours}."})


def peers_of(roster: Roster) -> Mapping[str, str]:
    """Returns the id of each silo's signing key; revoked silos are no peers."""
    return {one.silo: key_id(one.sign_key) for one in roster.members if not one.revoked}


def _endpoints(ask: Ask, policy: Policy) -> Iterator[tuple[Code, str]]:
    allowed = policy.ask.endpoints
    strange = [] if "*" in allowed else sorted(set(ask.endpoints) - set(allowed))
    if strange:
        yield "endpoint_not_allowed", f"It asks for {', '.join(strange)}, which is not allowed."


def _sizes(ask: Ask, policy: Policy) -> Iterator[tuple[Code, str]]:
    largest, most = policy.ask.max_parameters, policy.ask.max_rounds_per_week
    if ask.parameters > largest:
        yield (
            "network_too_large",
            f"Its network has {ask.parameters:,} parameters, of at most {largest:,}.",
        )
    if ask.rounds_per_week > most:
        yield "too_many_rounds", f"It asks for {ask.rounds_per_week:.3g} rounds a week, of {most}."


def _peers(
    participants: Collection[str], policy: Policy, peers: Mapping[str, str], silo: str
) -> Iterator[tuple[Code, str]]:
    needed, pinned = policy.peers.min_participants, policy.peers.count
    known = {name for name in participants if name in peers or name == silo}
    counted = {n for n in known if pinned == "roster" or n == silo or peers[n] in pinned}
    if len(counted) >= needed:
        return
    yield (
        "too_few_participants",
        f"{len(counted)} silos that count take part, and the policy wants {needed}.",
    )
    if strangers := sorted(known - counted):
        yield (
            "peer_not_pinned",
            f"The policy does not pin the keys of {', '.join(strangers)}: they do not count.",
        )


def _privacy(ask: Ask, policy: Policy) -> Iterator[tuple[Code, str]]:
    largest = policy.privacy.max_epsilon
    if ask.epsilon is None:
        if not policy.privacy.none_allowed:
            yield "privacy_required", "It has no differential privacy, which the policy requires."
    elif ask.epsilon > largest:
        yield "epsilon_too_large", f"Its epsilon is {ask.epsilon:g}, of at most {largest:g}."
    if not ask.masked and not policy.privacy.unmasked_allowed:
        yield "masking_required", "It masks no update, and the policy requires that all are masked."
