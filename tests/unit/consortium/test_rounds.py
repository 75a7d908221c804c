"""The life of a round as decisions: who waits, who closes, who starts anew."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from agent.clock import from_text, to_text
from agent.wire.documents import RoundManifest
from consortium.rounds import Attempt, decide, round_id

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
    answer = decide(held, quorum, _manifest(participants, 100), moment)
    over = moment >= _START + timedelta(seconds=100)
    if held == participants:
        assert answer == "close"
    elif not over:
        assert answer == "wait"
    else:
        assert answer == ("close" if held >= quorum else "abort")


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
