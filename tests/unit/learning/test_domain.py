import numpy as np
import numpy.typing as npt
import pytest

from agent.learning.domain import Domain, TaskDomain, draw_domain, inside
from agent.learning.intervals import Said, calibrate
from agent.learning.tasks import Labels, TaskSpec

TASKS = (TaskSpec("a", "regression"), TaskSpec("b", "regression", 0.0, 2.0))
Floats = npt.NDArray[np.float32]


def drawn(similarity: Floats, errors: Floats, spread: Floats | None = None, few: int = 0) -> Domain:
    """The domain of a task whose errors are given, and of one with a few labels."""
    n = len(errors)
    tasks = TASKS if few else TASKS[:1]
    doubt = np.zeros((n, len(tasks)), np.float32)
    if spread is not None:
        doubt[:, 0] = spread
    said = Said(np.zeros((n, len(tasks)), np.float32), doubt)
    rows = np.concatenate([np.arange(n), np.arange(few)])
    labels = Labels(
        rows,
        np.repeat([0, 1], [n, few]),
        np.concatenate([errors, errors[:few]]).astype(np.float32),
        np.zeros(n + few, np.int8),
    )
    near = np.repeat(similarity[:, None], len(tasks), axis=1).astype(np.float32)
    return draw_domain(said, labels, tasks, near, calibrate(said, labels, tasks, near))


@pytest.fixture
def similarity() -> Floats:
    return np.random.default_rng(0).uniform(0.1, 1.0, 800).astype(np.float32)


def noise(seed: int, n: int = 800) -> Floats:
    return np.abs(np.random.default_rng(seed).normal(0, 1, n)).astype(np.float32)


def test_the_limit_lies_where_the_error_rises(similarity: Floats) -> None:
    errors = noise(1) * np.where(similarity < 0.4, 8, 1)
    (limits,) = drawn(similarity, errors).tasks
    assert 0.35 < limits.similarity < 0.55
    assert not limits.pooled
    assert limits.spread is None


def test_where_the_error_is_flat_only_the_farthest_are_outside(similarity: Floats) -> None:
    (limits,) = drawn(similarity, noise(2)).tasks
    assert np.mean(similarity < limits.similarity) == pytest.approx(0.1, abs=0.01)


def test_members_that_disagree_tell_the_domain_too(similarity: Floats) -> None:
    spread = np.random.default_rng(3).uniform(0, 1, 800).astype(np.float32)
    errors = noise(4) * np.where(spread > 0.6, 8, 1)
    (limits,) = drawn(similarity, errors, spread).tasks
    assert limits.spread is not None
    assert 0.45 < limits.spread < 0.65


def test_the_curve_counts_every_label_once(similarity: Floats) -> None:
    errors = noise(5) * np.where(similarity < 0.4, 4, 1)
    (limits,) = drawn(similarity, errors).tasks
    assert sum(part.n for part in limits.curve) == 800
    assert limits.curve[0].error > 2 * limits.curve[-1].error
    assert limits.curve[0].width is not None
    assert limits.curve[-1].width is not None
    assert limits.curve[0].width > limits.curve[-1].width
    ends = [(part.low, part.high) for part in limits.curve]
    assert ends == sorted(ends)


def test_few_labels_take_the_limits_of_all(similarity: Floats) -> None:
    errors = noise(6) * np.where(similarity < 0.4, 8, 1)
    own, few = drawn(similarity, errors, few=6).tasks
    assert few.pooled
    assert few.similarity == pytest.approx(own.similarity, abs=0.05)
    assert len(few.curve) == 1


def test_without_measurements_a_neighbour_is_what_chemists_call_one() -> None:
    (limits,) = drawn(np.zeros(0, np.float32), np.zeros(0, np.float32)).tasks
    assert (limits.similarity, limits.pooled, limits.curve) == (0.4, True, ())


def test_inside_needs_a_neighbour_and_members_that_agree() -> None:
    own = TaskDomain(task="a", similarity=0.5, spread=0.2, pooled=False, curve=())
    alone = TaskDomain(task="b", similarity=0.5, spread=None, pooled=False, curve=())
    similarity = np.array([[0.5, 0.5], [0.4, 0.4], [0.9, 0.9]], np.float32)
    spread = np.array([[0.1, 9.0], [0.1, 0.0], [0.3, 0.3]], np.float32)
    found = inside(spread, similarity, Domain(tasks=(own, alone)))
    assert found.tolist() == [[True, True], [False, False], [False, True]]
