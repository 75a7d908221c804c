"""Each objection by its name, and all of them at once."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.policy.judge import (
    Ask,
    Code,
    asked_by,
    judge,
    judge_plan,
    judge_round,
    outside_hours,
    peers_of,
)
from agent.policy.rules import (
    DEFAULT,
    AskSection,
    PeersSection,
    Policy,
    PrivacySection,
)
from agent.wire.documents import MaskRules, Member, Privacy, Roster
from agent.wire.signed import key_id
from tests.kit.consortium import HEADS, Consortium

ME = "silo-a"
KEYS = {ME: "aa" * 32, "silo-b": "bb" * 32, "silo-c": "cc" * 32}
ASK = Ask(("logd", "herg"), 1000, 10.0, (ME, "silo-b", "silo-c"), None)


def _codes(
    policy: Policy, ask: Ask = ASK, peers: Mapping[str, str] = KEYS, silo: str = ME
) -> tuple[Code, ...]:
    return judge(ask, policy, peers, silo).codes


def test_the_default_policy_allows_what_is_asked() -> None:
    verdict = judge(ASK, DEFAULT, {}, ME)
    assert verdict.allowed
    assert (verdict.codes, verdict.sentence) == ((), "")


def test_endpoint_not_allowed() -> None:
    policy = Policy(ask=AskSection(endpoints=("logd",)))
    verdict = judge(ASK, policy, KEYS, ME)
    assert verdict.codes == ("endpoint_not_allowed",)
    assert "herg" in verdict.sentence
    assert "logd" not in verdict.sentence
    assert _codes(Policy(ask=AskSection(endpoints=("logd", "herg", "ames")))) == ()


def test_network_too_large() -> None:
    assert _codes(Policy(ask=AskSection(max_parameters=999))) == ("network_too_large",)
    assert _codes(Policy(ask=AskSection(max_parameters=1000))) == ()


def test_too_many_rounds() -> None:
    assert _codes(Policy(ask=AskSection(max_rounds_per_week=9))) == ("too_many_rounds",)
    assert _codes(Policy(ask=AskSection(max_rounds_per_week=10))) == ()


def test_too_few_participants() -> None:
    policy = Policy(peers=PeersSection(min_participants=4))
    assert _codes(policy) == ("too_few_participants",)
    assert _codes(Policy(peers=PeersSection(min_participants=3))) == ()
    # A name that the roster does not have is nobody; this silo is there in any case.
    assert _codes(Policy(peers=PeersSection(min_participants=2)), peers={}) == (
        "too_few_participants",
    )
    assert _codes(Policy(peers=PeersSection(min_participants=1)), peers={}) == ()


def test_a_plan_without_this_silo_does_not_count_it() -> None:
    ask = replace(ASK, participants=("silo-b",))
    assert _codes(Policy(peers=PeersSection(min_participants=2)), ask) == ("too_few_participants",)


def test_peer_not_pinned() -> None:
    """Puppets in the roster do not fill a round up."""
    peers = PeersSection(min_participants=3, count=("bb" * 32,))
    verdict = judge(ASK, Policy(peers=peers), KEYS, ME)
    assert verdict.codes == ("too_few_participants", "peer_not_pinned")
    assert "silo-c" in verdict.sentence
    pinned = PeersSection(min_participants=3, count=("bb" * 32, "cc" * 32))
    assert _codes(Policy(peers=pinned)) == ()
    enough = PeersSection(min_participants=2, count=("bb" * 32,))
    assert _codes(Policy(peers=enough)) == (), "strangers may join, and do not count"


def test_privacy_required() -> None:
    policy = Policy(privacy=PrivacySection(none_allowed=False))
    assert _codes(policy) == ("privacy_required",)
    assert _codes(policy, replace(ASK, epsilon=3.0)) == ()


def test_epsilon_too_large() -> None:
    policy = Policy(privacy=PrivacySection(max_epsilon=3.0))
    assert _codes(policy, replace(ASK, epsilon=3.1)) == ("epsilon_too_large",)
    assert _codes(policy, replace(ASK, epsilon=3.0)) == ()


def test_masking_required() -> None:
    policy = Policy(privacy=PrivacySection(unmasked_allowed=False))
    assert _codes(policy) == ("masking_required",)
    assert _codes(policy, replace(ASK, masked=True)) == ()
    assert _codes(policy, replace(ASK, epsilon=1.0)) == ("masking_required",)


def test_outside_hours() -> None:
    noon = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - a local time
    verdict = outside_hours("18-07", noon, within=False)
    assert verdict.codes == ("outside_hours",)
    assert "18-07" in verdict.sentence
    assert outside_hours("18-07", noon, within=True).allowed


def test_all_objections_at_once() -> None:
    policy = Policy(
        ask=AskSection(endpoints=(), max_parameters=1, max_rounds_per_week=1),
        peers=PeersSection(min_participants=9, count=()),
        privacy=PrivacySection(none_allowed=False, unmasked_allowed=False),
    )
    verdict = judge(ASK, policy, KEYS, ME)
    assert verdict.codes == (
        "endpoint_not_allowed",
        "network_too_large",
        "too_many_rounds",
        "too_few_participants",
        "peer_not_pinned",
        "privacy_required",
        "masking_required",
    )
    assert all(f"[{code}]" in verdict.sentence for code in verdict.codes)


def test_a_round_is_judged_by_its_own_participants() -> None:
    manifest = Consortium().round_document(participants=(ME,))
    policy = Policy(peers=PeersSection(min_participants=2))
    assert judge_round(manifest, policy, KEYS, ME, 0).codes == ("too_few_participants",)


def test_a_round_beyond_the_weeks_number() -> None:
    manifest = Consortium().round_document(participants=(ME,))
    policy = Policy(ask=AskSection(max_rounds_per_week=3))
    assert judge_round(manifest, policy, KEYS, ME, 2).allowed
    assert judge_round(manifest, policy, KEYS, ME, 3).codes == ("too_many_rounds",)


def test_what_a_plan_asks() -> None:
    plan = Consortium().plan_document()
    ask = asked_by(plan)
    # Trunk: 256 x 8 counts, 8 + 8 of the descriptor, 8 + 8 of the norm; a head has 8 + 1.
    assert ask.parameters == 256 * 8 + 4 * 8 + 2 * 9
    assert (ask.endpoints, ask.epsilon) == (HEADS, None)
    assert ask.rounds_per_week == pytest.approx(2 / (30 / 7))
    short = plan.model_copy(update={"expires": plan.not_before})
    assert asked_by(short).rounds_per_week == 2
    masked = plan.model_copy(update={"privacy": Privacy(masking=MaskRules())})
    assert (ask.masked, asked_by(masked).masked) == (False, True)


@pytest.mark.parametrize(
    "changes",
    [{"endpoints": ("logbb", "logbb")}, {"not_before": "2026-02-31T00:00:00Z"}],
)
def test_not_judged(changes: dict[str, object]) -> None:
    plan = Consortium().plan_document().model_copy(update=changes)
    assert judge_plan(plan, DEFAULT, KEYS, ME).codes == ("not_judged",)
    assert judge_plan(Consortium().plan_document(), DEFAULT, KEYS, ME).allowed


def test_revoked_silos_are_no_peers() -> None:
    one = Member(
        silo="silo-b",
        legal_entity="",
        sign_key="ab" * 32,
        seal_key="ab" * 32,
        courier_key="ab" * 32,
        not_before="2026-03-01T12:00:00Z",
        expires="2027-03-01T12:00:00Z",
    )
    gone = one.model_copy(update={"silo": "silo-c", "revoked": True})
    roster = Roster(
        consortium="kit",
        version=1,
        issued="2026-03-01T12:00:00Z",
        expires="2027-03-01T12:00:00Z",
        members=(one, gone),
    )
    assert peers_of(roster) == {"silo-b": key_id("ab" * 32)}


@given(st.integers(1, 9), st.integers(0, 2000), st.floats(0, 50), st.none() | st.floats(0.1, 10.0))
def test_a_looser_policy_never_objects_to_more(
    needed: int, parameters: int, rounds: float, epsilon: float | None
) -> None:
    ask = replace(ASK, parameters=parameters, rounds_per_week=rounds, epsilon=epsilon)
    strict = Policy(
        ask=AskSection(max_parameters=1000, max_rounds_per_week=10),
        peers=PeersSection(min_participants=needed),
        privacy=PrivacySection(max_epsilon=3.0, none_allowed=False, unmasked_allowed=False),
    )
    assert set(_codes(DEFAULT, ask)) <= set(_codes(strict, ask))
