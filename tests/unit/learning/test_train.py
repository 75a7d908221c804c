from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.errors import Refused
from agent.learning.score import predict, score_tasks
from agent.learning.train import Fitted, Moments, Settings, fit, fit_on, learning_rate

if TYPE_CHECKING:
    from agent.wire.network import Weights
    from tests.unit.learning.conftest import Problem

_SETTINGS = Settings(epochs=30, batch_size=32, learning_rate=5e-3, device="cpu")


def _fit(problem: Problem, settings: Settings = _SETTINGS) -> Weights:
    return fit(
        problem.start(),
        problem.network,
        problem.features,
        problem.labels,
        problem.tasks,
        settings,
        lambda *_: None,
    )


def _changed(problem: Problem, trained: Weights) -> set[str]:
    start = problem.start()
    return {name for name in start if not np.array_equal(start[name], trained[name])}


def test_training_beats_the_mean_on_rows_that_it_has_not_seen(problem: Problem) -> None:
    held_out = problem.labels.rows % 4 == 0
    kept, test = problem.labels.select(~held_out), problem.labels.select(held_out)
    trained = _fit(replace(problem, labels=kept))
    scores = score_tasks(
        predict(trained, problem.network, problem.features, problem.tasks), test, problem.tasks
    )
    for column, task in enumerate(problem.tasks[:2]):
        values = test.values[test.cols == column]
        mean = kept.values[kept.cols == column].mean()
        error = scores[task.name].value
        assert error is not None
        assert error < 0.7 * abs(values - mean).mean()
    ranking = scores["class"].value
    assert ranking is not None
    assert ranking < 0.15


def test_progress_is_told_after_every_epoch_and_the_loss_falls(problem: Problem) -> None:
    told: list[tuple[int, int, float]] = []
    fit(
        problem.start(),
        problem.network,
        problem.features,
        problem.labels,
        problem.tasks,
        replace(_SETTINGS, epochs=5),
        lambda done, of, loss: told.append((done, of, loss)),
    )
    assert [(done, of) for done, of, _ in told] == [(done, 5) for done in range(1, 6)]
    assert told[-1][2] < told[0][2]


def test_the_same_seed_gives_the_same_weights(problem: Problem) -> None:
    short = replace(_SETTINGS, epochs=2)
    first, second = _fit(problem, short), _fit(problem, short)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    other = _fit(problem, replace(short, seed=1))
    assert not np.array_equal(first["trunk.dense.weight"], other["trunk.dense.weight"])


def test_the_given_weights_stay_as_they_are(problem: Problem) -> None:
    start = problem.start()
    before = {name: tensor.copy() for name, tensor in start.items()}
    settings = replace(_SETTINGS, epochs=1)
    fit(
        start,
        problem.network,
        problem.features,
        problem.labels,
        problem.tasks,
        settings,
        lambda *_: None,
    )
    assert all(np.array_equal(start[name], before[name]) for name in start)


def test_only_the_named_tensors_change(problem: Problem) -> None:
    trained = _fit(problem, replace(_SETTINGS, epochs=1, train_only=("head.private:",)))
    assert _changed(problem, trained) == {
        "head.private:narrow.x.weight",
        "head.private:narrow.x.bias",
    }


def test_everything_changes_without_names(problem: Problem) -> None:
    trained = _fit(problem, replace(_SETTINGS, epochs=1))
    assert _changed(problem, trained) == set(problem.start())


def test_a_head_of_no_task_is_handed_back_untouched(problem: Problem) -> None:
    labels = problem.labels.select(problem.labels.cols == 0)
    one = replace(problem, labels=labels, tasks=problem.tasks[:1])
    start = problem.start()
    settings = replace(_SETTINGS, epochs=1)
    trained = fit(start, one.network, one.features, labels, one.tasks, settings, lambda *_: None)
    assert set(trained) == set(start)
    assert np.array_equal(trained["head.class.weight"], start["head.class.weight"])


def test_names_that_match_nothing_are_refused(problem: Problem) -> None:
    with pytest.raises(Refused, match="nothing_to_train"):
        _fit(problem, replace(_SETTINGS, train_only=("haed.",)))


def test_a_training_that_diverges_is_refused(problem: Problem) -> None:
    with pytest.raises(Refused, match="diverged"):
        _fit(problem, replace(_SETTINGS, epochs=3, learning_rate=1e38))


def test_weights_that_are_not_finite_are_refused_even_where_no_label_reaches(
    problem: Problem,
) -> None:
    start = problem.start()
    start["head.class.bias"][:] = np.nan
    labels = problem.labels.select(problem.labels.cols == 0)
    with pytest.raises(Refused, match="diverged"):
        fit(
            start,
            problem.network,
            problem.features,
            labels,
            problem.tasks[:1],
            replace(_SETTINGS, epochs=1),
            lambda *_: None,
        )


def test_the_rate_rises_to_the_peak_and_falls_to_almost_nothing() -> None:
    settings = Settings(epochs=1, learning_rate=1.0)
    rates = [learning_rate(settings, done / 100) for done in range(101)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates.index(max(rates)) == 30
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(1 / 250)
    assert rates[30:] == sorted(rates[30:], reverse=True)


def test_rounds_continue_one_schedule() -> None:
    whole = Settings(epochs=1, learning_rate=1.0)
    rounds = [replace(whole, window=(r / 4, (r + 1) / 4)) for r in range(4)]
    for number, settings in enumerate(rounds):
        assert learning_rate(settings, 0.5) == learning_rate(whole, (number + 0.5) / 4)
    assert learning_rate(rounds[1], 1.0) == learning_rate(rounds[2], 0.0)


def test_a_schedule_without_warm_up_starts_at_the_peak() -> None:
    assert learning_rate(Settings(epochs=1, learning_rate=1.0, warm_up=0.0), 0.0) == 1.0


def _fit_on(problem: Problem, settings: Settings, moments: Moments | None = None) -> Fitted:
    return fit_on(
        *(problem.start(), problem.network, problem.features, problem.labels, problem.tasks),
        settings,
        lambda *_: None,
        moments=moments,
    )


def test_the_optimizer_goes_on_from_what_it_remembers(problem: Problem) -> None:
    short = replace(_SETTINGS, epochs=2)
    first = _fit_on(problem, short)
    steps = 2 * -(-len(np.unique(problem.labels.rows)) // short.batch_size)
    assert first.moments.steps == steps
    assert first.moments.first.keys() == first.weights.keys()
    again = _fit_on(problem, short, first.moments)
    fresh = _fit_on(problem, short)
    assert again.moments.steps == 2 * steps
    name = "trunk.dense.weight"
    assert np.array_equal(fresh.weights[name], first.weights[name])
    assert not np.array_equal(again.weights[name], first.weights[name])


def test_a_tensor_without_memory_starts_without(problem: Problem) -> None:
    settings = replace(_SETTINGS, epochs=1)
    nothing = Moments({}, {}, 7)
    found, plain = _fit_on(problem, settings, nothing), _fit_on(problem, settings)
    assert all(np.array_equal(found.weights[n], plain.weights[n]) for n in plain.weights)
