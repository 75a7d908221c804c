"""The life of a round as decisions: who waits, who closes, who starts anew."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import from_text, to_text
from agent.wire.documents import RoundManifest
from consortium.rounds import Attempt, decide, invited, round_id

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House

_START = datetime(2026, 1, 1, tzinfo=UTC)


def _manifest(participants: int, deadline_s: float) -> RoundManifest:
    return RoundManifest(
        consortium="demo",
        round_id="p.r1.a1",
        plan_id="p",
        plan_sha256="00" * 32,
        number=1,
        attempt=1,
        base_sha256="00" * 32,
        base_bytes=1,
        seal_key="00" * 32,
        participants=tuple(f"s{number}" for number in range(participants)),
        opens=to_text(_START),
        deadline=to_text(_START + timedelta(seconds=deadline_s)),
    )


@given(
    participants=st.integers(1, 9),
    held=st.integers(0, 9),
    quorum=st.integers(1, 9),
    passed_s=st.floats(0, 200),
)
def test_every_case_has_one_answer(
    participants: int, held: int, quorum: int, passed_s: float
) -> None:
    held, quorum = min(held, participants), min(quorum, participants)
    moment = _START + timedelta(seconds=passed_s)
    answer = decide(held, participants, quorum, _manifest(participants, 100), moment)
    over = moment >= _START + timedelta(seconds=100)
    if held == participants:
        assert answer == "close"
    elif not over:
        assert answer == "wait"
    else:
        assert answer == ("close" if held >= quorum else "abort")


def test_a_revoked_participant_is_not_waited_for() -> None:
    manifest = _manifest(3, 100)
    assert decide(2, 2, 2, manifest, _START) == "close"
    assert decide(2, 3, 2, manifest, _START) == "wait"
    assert decide(2, 2, 3, manifest, _START) == "wait", "never below the quorum"
    assert decide(2, 2, 3, manifest, _START + timedelta(seconds=100)) == "abort"


@pytest.mark.parametrize(
    ("quorum", "standing", "spoilt", "wanted"),
    [
        (2, "abc", [], "abc"),
        (2, "abcd", [], "abc"),  # the plan names who takes part
        (2, "ac", [], "ac"),
        (2, "abc", ["b"], "ac"),
        (2, "abc", ["b", "b", "b"], "ac"),
        (2, "abc", ["ab"], "abc"),  # the quorum leaves nobody out
        (3, "abc", ["b", "b"], "abc"),
        (3, "abc", ["b", "b", "b"], None),
        (2, "abc", ["a", "b", "c"], None),
        (3, "ac", [], None),
    ],
)
def test_who_takes_part_in_the_next_attempt(
    house: "House", quorum: int, standing: str, spoilt: list[str], wanted: str | None
) -> None:
    house.enrol("a", "b", "c")
    plan = house.plan(quorum=quorum)
    found = invited(plan, set(standing), [set(silos) for silos in spoilt])
    assert found == (tuple(wanted) if wanted else None)


def test_ids_tell_attempts_apart() -> None:
    first = Attempt(1, 1)
    ids = {round_id("p", one) for one in (first, first.again(), first.following())}
    assert ids == {"p.r1.a1", "p.r1.a2", "p.r2.a1"}


def test_no_deadline_is_after_the_plans_end(house: "House") -> None:
    house.enrol("a", "b")
    plan = house.plan()
    house.now = from_text(plan.expires) - timedelta(seconds=10)
    house.tick()
    assert house.round().deadline == plan.expires


def test_a_plan_that_has_not_begun_waits(house: "House") -> None:
    house.enrol("a", "b")
    house.plan()
    house.later(-10)
    assert not house.tick()
