from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from agent.learning.ensemble import Ensemble, Member, predict_ensemble
from agent.learning.score import predict
from agent.wire.network import initial_weights

if TYPE_CHECKING:
    from tests.unit.learning.conftest import Problem


def _member(problem: Problem, seed: int, hidden: tuple[int, ...]) -> Member:
    network = problem.network.model_copy(update={"seed": seed, "hidden": hidden})
    heads = [task.name for task in problem.tasks]
    return Member(network, initial_weights(network, problem.spec, heads))


def test_each_head_has_its_own_share_of_the_members(problem: Problem) -> None:
    members = (_member(problem, 1, (32, 16)), _member(problem, 2, (8,)))
    shares = np.array([[1.0, 0.5, 0.25], [0.0, 0.5, 0.75]], np.float32)
    found = predict_ensemble(Ensemble(members, shares), problem.features, problem.tasks, "cpu")
    said = np.stack(
        [predict(m.weights, m.network, problem.features, problem.tasks, "cpu") for m in members]
    ).astype(np.float64)
    mean = (said * shares[:, None]).sum(axis=0)
    spread = np.sqrt((shares[:, None] * (said - mean) ** 2).sum(axis=0))
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(found.spread, spread, rtol=1e-3, atol=1e-4)
    assert not found.spread[:, 0].any()


def test_a_member_without_a_share_is_not_asked(problem: Problem) -> None:
    member = _member(problem, 1, (32, 16))
    broken = replace(member, weights={})
    shares = np.array([[1.0] * 3, [0.0] * 3], np.float32)
    found = predict_ensemble(
        Ensemble((member, broken), shares), problem.features, problem.tasks, "cpu"
    )
    assert np.isfinite(found.mean).all()
