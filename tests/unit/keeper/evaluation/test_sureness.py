import numpy as np
import pytest

from agent.features.rows import Features
from agent.keeper.evaluation.sureness import ends, similarity, window
from agent.learning.ensemble import Answer
from agent.learning.federation import Silo
from agent.learning.learner import Judged
from agent.learning.tasks import Labels, TaskSpec

_N, _KEPT = 300, 200
_TASKS = (TaskSpec("a", "regression"), TaskSpec("class", "classification"))


def _silo(age: np.ndarray | None) -> Silo:
    random = np.random.default_rng(4)
    indices = np.sort(random.permuted(np.tile(np.arange(64), (_N, 1)), axis=1)[:, :8], axis=1)
    features = Features(
        np.arange(_N + 1, dtype=np.int64) * 8,
        indices.ravel().astype(np.int32),
        np.full(_N * 8, np.log1p(1), np.float32),
        np.zeros((_N, 1), np.float32),
    )
    values = random.normal(size=_N).astype(np.float32)
    nothing = np.zeros(_N, np.int8)
    labels = Labels(np.arange(_N), np.zeros(_N, np.int64), values, nothing)
    return Silo("own", features, _TASKS, labels, age)


def _judged(silo: Silo, kept: np.ndarray) -> Judged:
    labels = silo.labels.select(kept)
    mean = np.zeros((_N - _KEPT, 2), np.float32)
    labels = labels.on_rows(labels.rows - _KEPT)
    ways = ("personal", "personal")
    return Judged(ways, {}, Answer(mean, np.zeros_like(mean)), labels)  # type: ignore[arg-type]


def test_intervals_hold_what_was_calibrated_and_are_wider_far_away() -> None:
    silo = _silo(None)
    kept = silo.labels.rows >= _KEPT
    judged = _judged(silo, kept)
    found = window(silo, kept, judged)
    assert found.similarity.shape == (_N - _KEPT, 2)
    assert found.similarity[:, 0].max() < 1.0  # none is its own neighbour
    low, high = ends(found, judged.answer, found.similarity)
    values = judged.labels.values
    inside = (low[:, 0] <= values) & (values <= high[:, 0])
    assert 0.88 <= inside.mean() <= 0.95
    assert np.isnan(low[:, 1]).all()
    width = high[:, 0] - low[:, 0]
    assert np.corrcoef(width, found.similarity[:, 0])[0, 1] < -0.9


def test_newer_compounds_weigh_more() -> None:
    age = 1 - np.arange(_N) / _N
    silo = _silo(age)
    kept = silo.labels.rows >= _KEPT
    importance = window(silo, kept, _judged(silo, kept)).labels.importance
    assert importance is not None
    assert importance[-1] == 1.0
    assert importance[0] == pytest.approx(np.exp(-1.5 * 0.99))
    assert (np.diff(importance) > 0).all()


def test_what_was_trained_on_is_its_own_neighbour() -> None:
    silo = _silo(None)
    assert (similarity(silo, silo.features)[:, 0] == 1.0).all()
