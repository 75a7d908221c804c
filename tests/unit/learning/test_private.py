"""Training with noise: it learns where noise is little, and nothing of one compound decides."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agent.errors import Refused
from agent.learning.losses import Targets
from agent.learning.noise import Unforeseen
from agent.learning.private import Terms, fit_private, sampled_gradient
from agent.learning.score import predict
from agent.learning.settings import Settings
from agent.learning.tasks import Labels
from agent.wire.network import Weights
from tests.unit.learning.conftest import Problem

KEY = bytes(32)
SETTINGS = Settings(epochs=1, learning_rate=1e-2, device="cpu", threads=1)
_CLIP = 0.5
QUIET = Terms(noise=1e-4, clip=1.0, rate=0.2, steps=150, lot=64)


def _fit(problem: Problem, terms: Terms, settings: Settings = SETTINGS) -> Weights:
    return fit_private(
        problem.start(),
        problem.network,
        problem.features,
        problem.labels,
        problem.tasks,
        settings,
        terms,
        lambda _done, _of, _loss: None,
        secret=Unforeseen(KEY),
    ).weights


def _error(problem: Problem, weights: Weights) -> float:
    said = predict(weights, problem.network, problem.features, problem.tasks)
    own = problem.labels.cols == 0
    rows = problem.labels.rows[own]
    return float(np.abs(said[rows, 0] - problem.labels.values[own]).mean())


def test_it_learns_where_the_noise_is_little(problem: Problem) -> None:
    before = _error(problem, problem.start())
    assert _error(problem, _fit(problem, QUIET)) < 0.3 * before


def test_noise_beyond_measure_leaves_nothing(problem: Problem) -> None:
    weights = _fit(problem, replace(QUIET, noise=50.0, steps=20))
    assert all(np.isfinite(tensor).all() for tensor in weights.values())
    assert _error(problem, weights) > _error(problem, _fit(problem, QUIET))


def test_an_empty_sample_takes_a_step_of_noise(problem: Problem) -> None:
    start = problem.start()
    weights = _fit(problem, replace(QUIET, noise=1.0, rate=1e-9, steps=1))
    assert all(not np.array_equal(weights[name], start[name]) for name in start)


def test_without_noise_or_clip_nothing_is_trained(problem: Problem) -> None:
    for terms in (replace(QUIET, noise=0.0), replace(QUIET, clip=0.0), replace(QUIET, rate=0.0)):
        with pytest.raises(Refused, match="no_noise"):
            _fit(problem, terms)


def test_progress_tells_no_loss(problem: Problem) -> None:
    told: list[tuple[int, int, float]] = []
    fit_private(
        problem.start(),
        problem.network,
        problem.features,
        problem.labels,
        problem.tasks,
        SETTINGS,
        replace(QUIET, steps=3),
        lambda done, of, loss: told.append((done, of, loss)),
    )
    assert [(done, of) for done, of, _ in told] == [(1, 3), (2, 3), (3, 3)]
    assert all(np.isnan(loss) for _, _, loss in told)


def test_a_proximal_term_holds_the_trunk(problem: Problem) -> None:
    start = problem.start()
    far = _fit(problem, QUIET)["trunk.dense.weight"] - start["trunk.dense.weight"]
    held = _fit(problem, QUIET, replace(SETTINGS, proximal=10.0))["trunk.dense.weight"]
    assert np.abs(held - start["trunk.dense.weight"]).sum() < np.abs(far).sum()


def test_a_compounds_loss_depends_on_no_other_compound(problem: Problem) -> None:
    rows, device = np.arange(10), torch.device("cpu")
    labels = problem.labels
    weighted = replace(labels, importance=np.linspace(0.1, 1, len(labels), dtype=np.float32))
    whole = Targets.fixed(weighted, problem.tasks, len(problem.features)).take(rows, device)
    few = labels.select(labels.rows < 10)
    alone = Targets.fixed(few, problem.tasks, len(problem.features)).take(rows, device)
    for name in ("cells", "values", "weights", "deviations"):
        assert torch.equal(getattr(whole, name), getattr(alone, name))


def _gradient(problem: Problem, labels: Labels, rate: float = 1.0) -> Weights:
    """Returns the sum without dropout, which leaves nothing to chance but the sampling."""
    network = problem.network.model_copy(update={"dropout": 0.0})
    start, secret = problem.start(), Unforeseen(KEY)
    return sampled_gradient(
        start,
        network,
        problem.features,
        labels,
        problem.tasks,
        SETTINGS,
        (rate, _CLIP),
        secret=secret,
    )


def test_a_sum_of_all_is_the_sum_over_each(problem: Problem) -> None:
    rows, labels = np.unique(problem.labels.rows)[:30], problem.labels
    whole = _gradient(problem, labels.select(np.isin(labels.rows, rows)))
    each = [_gradient(problem, labels.select(labels.rows == row)) for row in rows]
    assert set(whole) == set(problem.start())
    for tensor, total in whole.items():
        np.testing.assert_allclose(sum(one[tensor] for one in each), total, atol=1e-5)


def test_no_compound_changes_the_sum_by_more_than_its_clip(problem: Problem) -> None:
    labels, rows = problem.labels, np.unique(problem.labels.rows)[:8]
    whole, changes = _gradient(problem, labels), []
    for row in rows.tolist():
        less = _gradient(problem, labels.select(labels.rows != row))
        squares = [((whole[t] - less[t]).astype(np.float64) ** 2).sum() for t in whole]
        changes.append(float(np.sqrt(sum(squares))))
    assert max(changes) <= _CLIP * 1.001
    assert max(changes) > 0.9 * _CLIP  # at the start most gradients are clipped


def test_a_sample_of_nobody_is_a_sum_of_nothing(problem: Problem) -> None:
    found = _gradient(problem, problem.labels, rate=1e-9)
    assert set(found) == set(problem.start())
    assert not any(tensor.any() for tensor in found.values())


def test_neither_sampling_nor_dropout_follows_a_seed_that_others_know(problem: Problem) -> None:
    for dropout, rate, same in ((0.0, 1.0, True), (0.0, 0.5, False), (0.5, 1.0, False)):
        network = problem.network.model_copy(update={"dropout": dropout})
        asked = (problem.start(), network, problem.features, problem.labels, problem.tasks)
        first, second = (sampled_gradient(*asked, SETTINGS, (rate, _CLIP)) for _ in range(2))
        assert all(np.array_equal(first[name], second[name]) for name in first) is same
