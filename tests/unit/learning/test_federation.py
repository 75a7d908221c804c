from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.learning.federation import Silo, counted, epochs_of, federate, network_of
from agent.learning.recipes import FederatedRecipe
from agent.learning.score import predict, score_tasks
from agent.learning.train import Settings, fit
from agent.wire.network import initial_weights

if TYPE_CHECKING:
    from tests.unit.learning.conftest import Problem

_RECIPE = FederatedRecipe(
    rounds=8,
    networks=1,
    local_epochs=2,
    local_rows=0,
    hidden=(32, 16),
    learning_rate=5e-3,
    batch_size=32,
)
_SETTINGS = Settings(epochs=1, seed=3, threads=1, device="cpu")


def _silo(problem: Problem, name: str, rows: np.ndarray, heads: str) -> Silo:
    tasks = tuple(replace(task, name=f"{heads}{task.name}") for task in problem.tasks)
    place = np.full(len(problem.features), -1)
    place[rows] = np.arange(len(rows))
    labels = problem.labels.select(np.isin(problem.labels.rows, rows))
    labels = replace(labels, rows=place[labels.rows])
    return Silo(name, problem.features.take(rows), tasks, labels)


def _silos(problem: Problem, second: str = "b/") -> list[Silo]:
    rows = np.arange(len(problem.features))
    return [_silo(problem, "a", rows[rows % 2 == 0], "a/"), _silo(problem, "b", rows[1::2], second)]


def test_silos_share_the_trunk_and_keep_their_heads(problem: Problem) -> None:
    (first,), (second,) = federate(_silos(problem), problem.spec, _RECIPE, settings=_SETTINGS)
    trunk = {name for name in first if name.startswith("trunk.")}
    assert all(np.array_equal(first[name], second[name]) for name in trunk)
    assert {name for name in first if "b/" in name} == set()
    assert {name for name in second if name not in trunk} == {
        f"head.b/{task.name}.{kind}" for task in problem.tasks for kind in ("weight", "bias")
    }


def test_heads_of_one_name_are_shared(problem: Problem) -> None:
    (first,), (second,) = federate(_silos(problem, "a/"), problem.spec, _RECIPE, settings=_SETTINGS)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_one_silo_alone_is_plain_training_in_rounds(problem: Problem) -> None:
    silo = _silos(problem)[0]
    recipe = replace(_RECIPE, rounds=1, server_momentum=0.0)
    ((found,),) = federate([silo], problem.spec, recipe, settings=_SETTINGS)
    network = network_of(recipe, _SETTINGS.seed)
    start = initial_weights(network, problem.spec, [task.name for task in silo.tasks])
    run = replace(_SETTINGS, epochs=2, batch_size=32, learning_rate=5e-3)
    run = replace(run, seed=_SETTINGS.seed * 1_000_003)
    plain = fit(start, network, silo.features, silo.labels, silo.tasks, run, lambda *_: None)
    for name, tensor in plain.items():
        np.testing.assert_allclose(found[name], tensor, atol=1e-6)


def test_two_silos_learn_what_neither_was_shown(problem: Problem) -> None:
    silos = _silos(problem)
    recipe = replace(_RECIPE, rounds=20)
    found = federate(silos, problem.spec, recipe, settings=_SETTINGS)
    network = network_of(_RECIPE, _SETTINGS.seed)
    # The other silo's compounds, under this silo's heads.
    other = replace(silos[1], tasks=silos[0].tasks)
    said = predict(found[0][0], network, other.features, other.tasks, "cpu")
    scores = score_tasks(said, other.labels, other.tasks)
    values = other.labels.values[other.labels.cols == 0]
    error = scores["a/wide"].value
    assert error is not None
    assert error < 0.7 * float(np.abs(values - values.mean()).mean())


def test_every_round_is_told_and_equal_arguments_give_equal_weights(problem: Problem) -> None:
    told: list[tuple[int, int]] = []
    recipe = replace(_RECIPE, rounds=2, local_epochs=1)
    once = federate(
        _silos(problem),
        problem.spec,
        recipe,
        settings=_SETTINGS,
        told=lambda done, of: told.append((done, of)),
    )
    assert told == [(1, 2), (2, 2)]
    again = federate(_silos(problem), problem.spec, recipe, settings=_SETTINGS)
    assert all(np.array_equal(once[0][0][name], again[0][0][name]) for name in once[0][0])
    forgetful = replace(recipe, keep_moments=False)
    other = federate(_silos(problem), problem.spec, forgetful, settings=_SETTINGS)
    assert not np.array_equal(once[0][0]["trunk.dense.weight"], other[0][0]["trunk.dense.weight"])


def test_rounds_train_networks_in_turn(problem: Problem) -> None:
    two = replace(_RECIPE, rounds=3, networks=2)
    silos = _silos(problem)
    first, second = federate(silos, problem.spec, two, settings=_SETTINGS)[0]
    # Of the second network there was one round: as if it had been the only one with its weights.
    assert not np.array_equal(first["trunk.dense.weight"], second["trunk.dense.weight"])
    once, never = federate(silos, problem.spec, replace(two, rounds=1), settings=_SETTINGS)[0]
    start = initial_weights(network_of(two, _SETTINGS.seed), problem.spec, [])
    assert np.array_equal(never["trunk.dense.weight"], start["1/trunk.dense.weight"])
    assert not np.array_equal(once["trunk.dense.weight"], start["trunk.dense.weight"])
    assert not np.array_equal(second["trunk.dense.weight"], start["1/trunk.dense.weight"])


@pytest.mark.parametrize(("weighting", "wanted"), [("uniform", 1.0), ("sqrt_n", 3.0), ("n", 9.0)])
def test_how_much_a_silo_counts(weighting: str, wanted: float) -> None:
    assert counted(9, weighting) == wanted
    assert counted(0, weighting) == 0.0


def test_ages_become_importance(problem: Problem) -> None:
    silo = _silos(problem)[0]
    assert silo.weighted(1.5).importance is None
    age = np.linspace(0, 1, len(silo.labels))
    dated = replace(silo, age=age)
    importance = dated.weighted(1.5).importance
    assert importance is not None
    np.testing.assert_allclose(importance, np.exp(-1.5 * age), rtol=1e-6)
    less = dated.without(silo.labels.cols == 0)
    assert less.age is not None
    assert len(less.age) == len(less.labels) == int((silo.labels.cols != 0).sum())


def test_a_small_silo_passes_over_its_rows_more_often() -> None:
    recipe = FederatedRecipe(local_epochs=2, local_rows=3_000)
    assert [epochs_of(count, recipe) for count in (300, 1_000, 3_000, 9_000)] == [10, 3, 2, 2]
