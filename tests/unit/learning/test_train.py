from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.numpy import load as decode_tensors

from agent.errors import Refused
from agent.learning.moments import Moments
from agent.learning.score import predict, score_tasks
from agent.learning.tasks import Labels
from agent.learning.train import Settings, fit, fit_on, learning_rate
from agent.wire.update import encode
from tests.unit.learning.conftest import N, equal

if TYPE_CHECKING:
    from agent.wire.network import Weights
    from tests.unit.learning.conftest import Problem

_SETTINGS = Settings(epochs=30, batch_size=32, learning_rate=5e-3, device="cpu", threads=1)


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


def test_two_trainings_with_the_optimizer_kept_are_one(problem: Problem) -> None:
    # One step an epoch, of all rows: the order of the rows changes no more than rounding.
    plain = problem.network.model_copy(update={"dropout": 0.0})
    steady = replace(problem, network=plain)
    settings = replace(_SETTINGS, epochs=4, batch_size=N, warm_up=0.0)
    whole = steady.fitted(settings)
    first = steady.fitted(replace(settings, epochs=2, window=(0.0, 0.5)))
    halves = {
        kept: fit_on(
            first.weights,
            plain,
            problem.features,
            problem.labels,
            problem.tasks,
            replace(settings, epochs=2, window=(0.5, 1.0)),
            lambda *_: None,
            moments=first.moments if kept else None,
        )
        for kept in (True, False)
    }
    name = "trunk.1.linear.weight"
    assert halves[True].weights[name] == pytest.approx(whole.weights[name], abs=1e-5)
    assert halves[False].weights[name] != pytest.approx(whole.weights[name], abs=1e-3)
    assert set(halves[True].moments.steps.values()) == {4}


def test_moments_survive_as_tensors_and_foreign_ones_are_left_out(problem: Problem) -> None:
    fitted = problem.fitted(replace(_SETTINGS, epochs=1))
    tensors = decode_tensors(encode(fitted.moments.to_tensors()))
    again = Moments.from_tensors(tensors, fitted.weights)
    assert equal(again.first, fitted.moments.first)
    assert equal(again.second, fitted.moments.second)
    assert again.steps == fitted.moments.steps
    fewer = {name: tensor for name, tensor in fitted.weights.items() if name != "head.class.bias"}
    assert "head.class.bias" not in Moments.from_tensors(tensors, fewer).first
    wider = {**fitted.weights, "trunk.dense.bias": np.zeros(99, np.float32)}
    with pytest.raises(Refused, match="wrong_tensors"):
        Moments.from_tensors(tensors, wider)


def test_moments_of_another_shape_start_anew(problem: Problem) -> None:
    moments = problem.fitted(replace(_SETTINGS, epochs=1)).moments
    moments.first["trunk.dense.bias"] = np.zeros(99, np.float32)
    again = problem.fitted(replace(_SETTINGS, epochs=1), moments=moments)
    assert again.moments.steps["trunk.dense.weight"] == 20
    assert again.moments.steps["trunk.dense.bias"] == 10


def test_a_proximal_term_holds_the_trunk_near_its_start(problem: Problem) -> None:
    start, settings = problem.start(), replace(_SETTINGS, epochs=5)
    free, held = (_fit(problem, replace(settings, proximal=mu)) for mu in (0.0, 5.0))

    def way(weights: Weights, name: str) -> float:
        return float(abs(weights[name] - start[name]).mean())

    for name in ("trunk.dense.weight", "trunk.1.linear.weight"):
        assert way(held, name) < 0.6 * way(free, name)
    assert way(held, "head.wide.weight") > 0.5 * way(free, "head.wide.weight")


def test_the_best_epoch_on_the_validation_labels_wins_and_training_stops(problem: Problem) -> None:
    held_out = problem.labels.rows % 4 == 0
    few = replace(problem, labels=problem.labels.select(~held_out & (problem.labels.rows < 60)))
    judge = problem.labels.select(held_out)
    settings = replace(_SETTINGS, epochs=60, learning_rate=2e-2, warm_up=0.0, patience=3)
    stopped = few.fitted(settings, validation=judge)
    assert 3 < stopped.epochs < 60
    # Three epochs before the last one: the same training, told to do just so many.
    by_hand = {}
    for epochs in (stopped.epochs - 3, stopped.epochs):
        window = (0.0, epochs / 60)
        by_hand[epochs] = _fit(few, replace(settings, epochs=epochs, window=window, patience=0))
    assert equal(stopped.weights, by_hand[stopped.epochs - 3])
    assert not equal(stopped.weights, by_hand[stopped.epochs])


def test_validation_labels_are_checked(problem: Problem) -> None:
    wrong = replace(problem.labels, cols=problem.labels.cols + 1)
    with pytest.raises(Refused, match="label_out_of_range"):
        problem.fitted(_SETTINGS, validation=wrong)


def test_how_torch_computes_is_put_back(problem: Problem) -> None:
    _fit(problem, replace(_SETTINGS, epochs=1, deterministic=True))
    assert not torch.are_deterministic_algorithms_enabled()
    assert np.float32(1e-45) > 0  # denormal numbers are numbers again


def test_the_order_of_the_labels_does_not_matter(problem: Problem) -> None:
    order = np.random.default_rng(0).permutation(len(problem.labels))
    labels = problem.labels
    mixed = Labels(
        labels.rows[order], labels.cols[order], labels.values[order], labels.qualifiers[order]
    )
    settings = replace(_SETTINGS, epochs=1)
    first, second = _fit(problem, settings), _fit(replace(problem, labels=mixed), settings)
    assert second["trunk.dense.weight"] == pytest.approx(first["trunk.dense.weight"], abs=1e-6)


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
