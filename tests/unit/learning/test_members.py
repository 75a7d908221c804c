from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.errors import Refused
from agent.learning.ensemble import Ensemble, Member, predict_ensemble
from agent.learning.members import decode_members, encode_members
from agent.wire.update import decode_some, encode

if TYPE_CHECKING:
    from tests.unit.learning.conftest import Problem


def _ensemble(problem: Problem) -> Ensemble:
    start = problem.start()
    moved = {name: value + np.float32(0.1) for name, value in start.items()}
    members = (Member(problem.network, start), Member(problem.network, moved))
    return Ensemble(members, np.array([[1, 0, 0.5], [0, 1, 0.5]], np.float32))


def test_it_comes_back_as_it_was(problem: Problem) -> None:
    ensemble, heads = _ensemble(problem), [task.name for task in problem.tasks]
    content = encode_members(ensemble)
    assert "member.1.trunk.dense.bias" in decode_some(content)
    found = decode_members(content, problem.network, problem.spec, heads)
    for one in (ensemble, found):
        answer = predict_ensemble(one, problem.features, problem.tasks, "cpu")
        again = predict_ensemble(ensemble, problem.features, problem.tasks, "cpu")
        assert np.array_equal(answer.mean, again.mean)


def test_an_older_release_is_one_network(problem: Problem) -> None:
    heads = [task.name for task in problem.tasks]
    found = decode_members(encode(problem.start()), problem.network, problem.spec, heads)
    assert len(found.members) == 1
    assert found.shares.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize("fault", ["missing", "shares", "many", "other"])
def test_what_does_not_fit_is_refused(problem: Problem, fault: str) -> None:
    tensors = decode_some(encode_members(_ensemble(problem)))
    heads = [task.name for task in problem.tasks]
    if fault == "missing":
        del tensors["member.1.trunk.dense.bias"]
    elif fault == "shares":
        tensors["shares"] = tensors["shares"][:, :2].copy()
    elif fault == "many":
        tensors["shares"] = np.zeros((100_000, 3), np.float32)
    else:
        heads = ["strange", *heads[1:]]
    with pytest.raises(Refused, match="wrong_tensors"):
        decode_members(encode(tensors), problem.network, problem.spec, heads)


def test_a_member_that_sees_a_part_only_is_not_kept(problem: Problem) -> None:
    member = Member(problem.network, problem.start(), view=(0, 256))
    alone = Ensemble((member,), np.ones((1, len(problem.tasks)), np.float32))
    with pytest.raises(ValueError, match="read all columns"):
        encode_members(alone)
