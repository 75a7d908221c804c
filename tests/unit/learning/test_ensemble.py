from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.errors import Refused
from agent.learning.ensemble import Ensemble, Member, blend, predict_ensemble
from agent.learning.score import predict
from agent.wire.network import initial_weights

if TYPE_CHECKING:
    from tests.unit.learning.conftest import Problem


def _two(problem: Problem, shares: list[list[float]]) -> Ensemble:
    other = problem.network.model_copy(update={"hidden": (16, 8, 8), "seed": 4})
    names = [task.name for task in problem.tasks]
    return Ensemble(
        (
            Member(problem.network, problem.start()),
            Member(other, initial_weights(other, problem.spec, names)),
        ),
        np.array(shares, np.float32),
    )


def test_the_mean_and_the_spread_follow_the_shares() -> None:
    answers = [np.array([[1.0, 1.0]], np.float32), np.array([[5.0, 3.0]], np.float32)]
    answer = blend(answers, np.array([[0.75, 1.0], [0.25, 0.0]], np.float32))
    assert answer.mean.tolist() == [[2.0, 1.0]]
    assert answer.spread.tolist() == [[pytest.approx(3.0**0.5), 0.0]]
    assert answer.mean.dtype == answer.spread.dtype == np.float32


def test_a_share_of_one_is_that_member_alone(problem: Problem) -> None:
    ensemble = _two(problem, [[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
    answer = predict_ensemble(ensemble, problem.features, problem.tasks, "cpu")
    alone = [
        predict(m.weights, m.network, problem.features, problem.tasks, "cpu")
        for m in ensemble.members
    ]
    assert np.array_equal(answer.mean[:, 0], alone[0][:, 0])
    assert np.array_equal(answer.mean[:, 1], alone[1][:, 1])
    assert answer.mean[:, 2] == pytest.approx((alone[0][:, 2] + alone[1][:, 2]) / 2, abs=1e-6)
    assert not answer.spread[:, :2].any()
    assert answer.spread[:, 2] == pytest.approx(abs(alone[0][:, 2] - alone[1][:, 2]) / 2, abs=1e-6)


def test_a_member_without_a_share_need_not_have_the_head(problem: Problem) -> None:
    ensemble = _two(problem, [[1.0, 0.5, 0.5], [0.0, 0.5, 0.5]])
    first, second = ensemble.members
    lacking = {name: value for name, value in second.weights.items() if ".wide." not in name}
    ensemble = replace(ensemble, members=(first, replace(second, weights=lacking)))
    answer = predict_ensemble(ensemble, problem.features, problem.tasks, "cpu")
    alone = predict(first.weights, first.network, problem.features, problem.tasks, "cpu")
    assert np.array_equal(answer.mean[:, 0], alone[:, 0])
    wrong = replace(ensemble, shares=np.full((2, 3), 0.5, np.float32))
    with pytest.raises(Refused, match="no_such_head"):
        predict_ensemble(wrong, problem.features, problem.tasks, "cpu")


@pytest.mark.parametrize(
    "shares",
    [
        [[1.0, 1.0, 1.0], [0.0, 0.0, 0.1]],
        [[1.5, 1.0, 1.0], [-0.5, 0.0, 0.0]],
        [[1.0, 1.0], [0.0, 0.0]],
        [[float("nan"), 1.0, 1.0], [0.0, 0.0, 0.0]],
    ],
)
def test_shares_that_are_none_are_refused(problem: Problem, shares: list[list[float]]) -> None:
    with pytest.raises(Refused, match="wrong_shares"):
        _two(problem, shares).check(problem.tasks)


def test_an_ensemble_of_one_answers_as_its_member(problem: Problem) -> None:
    one = Ensemble.of_one(problem.start(), problem.network, len(problem.tasks))
    answer = predict_ensemble(one, problem.features, problem.tasks, "cpu")
    alone = predict(problem.start(), problem.network, problem.features, problem.tasks, "cpu")
    assert np.array_equal(answer.mean, alone)
    assert not answer.spread.any()
