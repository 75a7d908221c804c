from hypothesis import given
from hypothesis import strategies as st

from agent.wire.members import as_member, bare, member_of_round, of_member, prefix_in, turn_of_round
from agent.wire.network import expected_shapes, initial_weights, round_shapes
from agent.wire.update import group_of
from tests.kit.consortium import FEATURES, NETWORK

HEADS = ("logbb", "solubility")
TWO = NETWORK.model_copy(update={"members": 2})


@given(st.integers(0, 7), st.sampled_from(["trunk.dense.bias", "head.a.weight", "head.x/1.bias"]))
def test_a_name_keeps_its_member(member: int, name: str) -> None:
    (full,) = as_member({name: 1}, member)
    assert bare(full) == name
    assert of_member({full: 1}, member) == {name: 1}
    assert of_member({full: 1}, member + 1) == {}
    assert group_of(full) == prefix_in(full) + group_of(name)


@given(st.integers(1, 40), st.integers(1, 5))
def test_rounds_take_members_in_turn_and_each_turn_once(rounds: int, members: int) -> None:
    seen = [
        (member_of_round(n, members), *turn_of_round(n, rounds, members))
        for n in range(1, rounds + 1)
    ]
    for member in range(members):
        turns = [turn for which, turn, _ in seen if which == member]
        assert turns == list(range(len(turns)))
        assert {of for which, _, of in seen if which == member} <= {len(turns)}


def test_a_round_trains_one_member_and_a_release_has_all() -> None:
    every = expected_shapes(TWO, FEATURES, HEADS)
    first, second = (round_shapes(TWO, FEATURES, HEADS, number) for number in (1, 2))
    assert first == expected_shapes(NETWORK, FEATURES, HEADS)
    assert every == first | second
    assert not first.keys() & second.keys()
    assert round_shapes(TWO, FEATURES, HEADS, 3) == first


def test_members_start_from_other_weights_and_the_first_as_if_it_were_alone() -> None:
    every = initial_weights(TWO, FEATURES, HEADS)
    alone = initial_weights(NETWORK, FEATURES, HEADS)
    one, other = of_member(every, 0), of_member(every, 1)
    assert all((one[name] == alone[name]).all() for name in alone)
    assert not (one["trunk.counts.weight"] == other["trunk.counts.weight"]).all()
    assert one.keys() == other.keys()
