from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.learning.ensemble import Ensemble, predict_ensemble
from agent.learning.federation import Silo
from agent.learning.learner import Learner
from agent.learning.recipes import FederatedRecipe, LocalRecipe
from agent.learning.train import Settings

if TYPE_CHECKING:
    from tests.unit.learning.conftest import Problem

_LOCAL = LocalRecipe(
    members=2, hidden=(16,), hidden_too=(8,), epochs=3, learning_rate=5e-3, batch_size=32
)
_FEDERATED = FederatedRecipe(
    rounds=2,
    local_rows=0,
    hidden=(16, 8),
    finetune_epochs=2,
    members=2,
    learning_rate=5e-3,
    batch_size=32,
    share=0.5,
    averaged_share=0.4,
)
_SETTINGS = Settings(epochs=1, threads=1, device="cpu")


def _learner(problem: Problem, federated: FederatedRecipe | None = _FEDERATED) -> Learner:
    return Learner(problem.spec, _LOCAL, federated, _SETTINGS)


def _silos(problem: Problem) -> tuple[Silo, Silo]:
    own = Silo("own", problem.features, problem.tasks, problem.labels)
    tasks = tuple(replace(task, name=f"b/{task.name}") for task in problem.tasks)
    return own, replace(own, name="b", tasks=tasks)


def test_shares_are_the_choice_head_by_head(problem: Problem) -> None:
    own, other = _silos(problem)
    found = _learner(problem).learn(own, [other], ["personal", "averaged", "federated"])
    alone, federated, tuned = found.shares[:2], found.shares[2:4], found.shares[4:]
    assert len(found.members) == len(found.shares) == 6
    np.testing.assert_allclose(found.shares.sum(axis=0), 1.0, rtol=1e-6)
    np.testing.assert_allclose(alone.sum(axis=0), [1.0, 0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(federated.sum(axis=0), [0.0, 0.2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(tuned.sum(axis=0), [0.0, 0.2, 0.5], rtol=1e-6)


def test_every_second_member_has_the_other_widths(problem: Problem) -> None:
    own, _ = _silos(problem)
    found = _learner(problem).learn(own, [], ["personal"] * 3)
    assert [member.network.hidden for member in found.members] == [(16,), (8,)]
    alike = replace(_LOCAL, hidden_too=())
    assert [alike.widths(number) for number in range(3)] == [(16,)] * 3


def test_each_width_sees_each_view(problem: Problem) -> None:
    views = ((0, 4), (0, 8), (4, 8))
    recipe = replace(_LOCAL, members=6, views=views)
    seen = [(recipe.widths(number), recipe.view(number)) for number in range(6)]
    assert set(seen) == {(widths, view) for widths in ((16,), (8,)) for view in views}
    assert _LOCAL.view(3) is None


def test_networks_see_their_view_alone(problem: Problem) -> None:
    own, other = _silos(problem)
    size = problem.spec.hash_size
    views = ((0, size // 2), (size // 2, size))
    learner = Learner(
        problem.spec, replace(_LOCAL, views=views), replace(_FEDERATED, views=views), _SETTINGS
    )
    found = learner.learn(own, [other], ["averaged"] * 3)
    assert [member.view for member in found.members] == [*views, *views, *views]
    assert {len(member.weights["trunk.counts.weight"]) for member in found.members} == {size // 2}
    blind = replace(problem.features, counts=problem.features.counts.copy())
    blind.counts[:, : size // 2] = 0
    for number, member in enumerate(found.members):
        only = Ensemble((member,), np.ones((1, 3), np.float32))
        said = [
            predict_ensemble(only, one, problem.tasks).mean for one in (problem.features, blind)
        ]
        assert np.array_equal(said[0], said[1]) is bool(number % 2)


def test_nobody_is_trained_who_is_not_asked(problem: Problem) -> None:
    own, other = _silos(problem)
    assert len(_learner(problem).learn(own, [other], ["personal"] * 3).members) == 2
    assert len(_learner(problem).learn(own, [other], ["federated"] * 3).members) == 4
    assert len(_learner(problem).learn(own, [], ["averaged"] * 3).members) == 2
    alone = _learner(problem, None).learn(own, [other], ["averaged"] * 3)
    np.testing.assert_allclose(alone.shares, 0.5)


def test_without_fine_tuning_the_release_itself_answers(problem: Problem) -> None:
    own, other = _silos(problem)
    recipe = replace(_FEDERATED, finetune_epochs=0)
    found = _learner(problem, recipe).learn(own, [other], ["federated"] * 3)
    assert found.shares.tolist() == [[0.5] * 3] * 2


@pytest.mark.parametrize("better", ["personal", "federated"])
def test_each_head_answers_as_erred_clearly_least(problem: Problem, better: str) -> None:
    own, other = _silos(problem)
    kept = own.labels.rows >= 200
    # Whoever does not learn at all is worse.
    local, federated = _LOCAL, _FEDERATED
    if better == "personal":
        local = replace(local, epochs=12)
        federated = replace(federated, learning_rate=1e-9)
    else:
        local = replace(local, learning_rate=1e-9)
        federated = replace(federated, rounds=6)
    learner = Learner(problem.spec, local, federated, _SETTINGS)
    judged = learner.judge(own.without(kept), [other], own.labels.select(kept))
    assert judged.choices[0] in {better, "released" if better == "federated" else better}
    assert set(judged.errors) == {"personal", "averaged", "federated", "released"}
    column = judged.labels.cols == 0
    said = judged.answer.mean[judged.labels.rows[column], 0]
    error = np.abs(said - judged.labels.values[column]).mean()
    assert judged.errors[judged.choices[0]][0] == pytest.approx(error, rel=1e-5)


def test_with_few_labels_the_average_is_the_safe_answer(problem: Problem) -> None:
    own, other = _silos(problem)
    kept = (own.labels.rows >= 298) & (own.labels.cols < 2)
    judged = _learner(problem).judge(own.without(kept), [other], own.labels.select(kept))
    assert judged.choices == ("averaged",) * 3
    assert np.isnan(judged.errors["personal"][2])


def test_a_task_without_labels_follows_the_others(problem: Problem) -> None:
    own, other = _silos(problem)
    kept = (own.labels.rows >= 200) & (own.labels.cols < 2)
    learner = Learner(
        problem.spec,
        replace(_LOCAL, learning_rate=1e-9),
        replace(_FEDERATED, rounds=6),
        _SETTINGS,
    )
    judged = learner.judge(own.without(kept), [other], own.labels.select(kept))
    assert judged.choices[2] in {"federated", "released"}


def test_leaning_on_the_release_gives_the_copies_less(problem: Problem) -> None:
    own, other = _silos(problem)
    recipe = replace(_FEDERATED, share=0.8, released_share=0.25)
    found = _learner(problem, recipe).learn(own, [other], ["federated", "released", "released"])
    np.testing.assert_allclose(found.shares[:2].sum(axis=0), [0.2, 0.75, 0.75])
    np.testing.assert_allclose(found.shares[2:].sum(axis=0), [0.8, 0.25, 0.25])


def test_alone_there_is_nothing_to_choose(problem: Problem) -> None:
    own, _ = _silos(problem)
    kept = own.labels.rows >= 200
    judged = _learner(problem).judge(own.without(kept), [], own.labels.select(kept))
    assert judged.choices == ("personal",) * 3
