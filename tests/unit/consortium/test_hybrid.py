"""A plan with the hybrid profile, from the draft to the release."""

from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.keys import new_post_quantum
from agent.wire.envelope import verify_header
from consortium.rosters import Changes
from consortium.store import roster

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.consortium.conftest import House, Silo

    MakeSilo = Callable[[str], Silo]


def test_a_hybrid_round_is_sealed_opened_and_averaged(house: "House") -> None:
    house.enrol("a", "b")
    plan = house.plan(rounds=1, profile="hybrid")
    assert plan.seal_profile == "hybrid"
    house.tick()
    assert house.round().kem_key is not None
    for name in ("a", "b"):
        sealed = house.seal(name)
        with house.store.reading() as session:
            assert verify_header(sealed.header, roster(session)).profile == "hybrid"
        assert house.deliver(name, sealed).kind == "receipt"
    house.settle()
    assert set(house.states().values()) == {"counted"}
    assert list(house.folder.round_keys.iterdir()) == [], "destroyed as ever"


@pytest.mark.parametrize("profile", ["classic", "hybrid"])
def test_an_envelope_of_the_other_profile_is_refused(house: "House", profile: str) -> None:
    house.enrol("a", "b")
    house.plan(profile="hybrid")
    house.tick()
    hybrid = house.seal("a")
    held = house.silos["b"].post_quantum
    house.silos["b"].post_quantum = None
    classic = house.seal("b")
    house.silos["b"].post_quantum = held
    answer = house.deliver("b", classic) if profile == "classic" else house.deliver("a", hybrid)
    assert answer.code == ("wrong_profile" if profile == "classic" else "")


def test_a_silo_without_such_a_key_takes_no_part(house: "House", new_silo: "MakeSilo") -> None:
    silo = new_silo("a")
    silo.post_quantum = None
    house.enrolment.enrol(house.request(silo, house.token("a")), house.now)
    house.change(Changes(admit=None))
    with pytest.raises(Refused, match="no_post_quantum_key"):
        house.plan(quorum=1, profile="hybrid")


def test_another_post_quantum_key_is_not_published(house: "House") -> None:
    house.enrol("a")
    with house.store.reading() as session:
        (member,) = roster(session).members
    assert house.silos["a"].post_quantum is not None
    assert member.pq_sign_key == house.silos["a"].post_quantum.public_hex
    assert member.pq_sign_key != new_post_quantum().public_hex
