import numpy as np
import pytest
import torch

from agent.learning.losses import Targets, masked_loss
from agent.learning.tasks import Labels, TaskSpec

_CPU = torch.device("cpu")


def _targets(
    entries: list[tuple[int, int, float, int]],
    tasks: list[TaskSpec],
    importance: list[float] | None = None,
) -> Targets:
    rows, cols, values, sides = zip(*entries, strict=True)
    labels = Labels(
        np.array(rows),
        np.array(cols),
        np.array(values, np.float32),
        np.array(sides, np.int8),
        None if importance is None else np.array(importance, np.float32),
    )
    return Targets.build(labels, tasks, max(rows) + 1, _CPU)


def _loss(outputs: list[list[float]], targets: Targets) -> float:
    return float(masked_loss(torch.tensor(outputs), targets))


_PLAIN = TaskSpec("x", "regression", 10.0, 2.0)


def test_a_regression_is_compared_on_the_scale_of_its_head() -> None:
    targets = _targets([(0, 0, 8.0, 0), (1, 0, 12.0, 0)], [_PLAIN])  # -1 and +1: deviation 1
    assert _loss([[-1.0], [1.0]], targets) == 0.0
    assert _loss([[-1.5], [1.0]], targets) == pytest.approx(0.5 * 0.5**2 / 2)
    assert _loss([[-4.0], [1.0]], targets) == pytest.approx((3.0 - 0.5) / 2)


@pytest.mark.parametrize(("side", "wrong"), [(-1, 1.0), (1, -1.0)])
def test_a_qualified_value_pulls_from_one_side_only(side: int, wrong: float) -> None:
    targets = _targets([(0, 0, 8.0, side), (1, 0, 12.0, 0)], [_PLAIN])
    assert _loss([[-1.0 - wrong], [1.0]], targets) == 0.0
    assert _loss([[-1.0 + wrong], [1.0]], targets) == pytest.approx(0.25)
    outputs = torch.tensor([[-1.0 - wrong], [1.0]], requires_grad=True)
    masked_loss(outputs, targets).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert not outputs.grad.any()


def test_a_missing_label_has_no_say() -> None:
    tasks = [_PLAIN, TaskSpec("y", "classification")]
    targets = _targets([(0, 0, 8.0, 0), (1, 0, 12.0, 0), (1, 1, 1.0, 0)], tasks)
    outputs = torch.tensor([[0.0, 50.0], [0.0, 0.0]], requires_grad=True)
    masked_loss(outputs, targets).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert outputs.grad[0, 1] == 0.0
    assert outputs.grad[1, 1] < 0.0


def test_a_class_is_learned_by_cross_entropy() -> None:
    targets = _targets([(0, 0, 1.0, 0), (1, 0, 0.0, 0)], [TaskSpec("y", "classification")])
    assert _loss([[0.0], [0.0]], targets) == pytest.approx(np.log(2))
    assert _loss([[9.0], [-9.0]], targets) < 0.001


def test_a_task_pulls_with_the_root_of_its_number_of_labels() -> None:
    tasks = [TaskSpec("large", "regression"), TaskSpec("small", "regression")]
    entries = [(row, 0, float(row), 0) for row in range(16)] + [(row, 1, 1.0, 0) for row in (0, 1)]
    weights = _targets(entries, tasks).weights
    assert float(weights[:, 0].sum() / weights[:, 1].sum()) == pytest.approx((16 / 2) ** 0.5)
    assert float(weights.sum()) == pytest.approx(18)


def test_importance_weighs_the_labels() -> None:
    targets = _targets([(0, 0, 8.0, 0), (1, 0, 12.0, 0)], [_PLAIN], importance=[3.0, 1.0])
    assert targets.weights.ravel().tolist() == pytest.approx([1.5, 0.5])


def test_a_constant_task_does_not_blow_up() -> None:
    targets = _targets([(0, 0, 10.0, 0), (1, 0, 10.0, 0)], [_PLAIN])
    assert _loss([[1.0], [0.0]], targets) == pytest.approx((20.0 - 0.5) / 2)
