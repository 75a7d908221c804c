import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional

from agent.learning.losses import Entries, Targets, masked_loss
from agent.learning.tasks import Labels, TaskSpec

_CPU = torch.device("cpu")


def _targets(
    entries: list[tuple[int, int, float, int]],
    tasks: list[TaskSpec],
    importance: list[float] | None = None,
    noise: tuple[float, ...] = (),
) -> Targets:
    rows, cols, values, sides = zip(*entries, strict=True)
    labels = Labels(
        np.array(rows),
        np.array(cols),
        np.array(values, np.float32),
        np.array(sides, np.int8),
        None if importance is None else np.array(importance, np.float32),
    )
    return Targets.build(labels, tasks, max(rows) + 1, noise)


def _entries(targets: Targets) -> Entries:
    return targets.take(np.arange(len(targets.starts) - 1), _CPU)


def _loss(outputs: list[list[float]], targets: Targets) -> float:
    return float(masked_loss(torch.tensor(outputs), _entries(targets)))


_PLAIN = TaskSpec("x", "regression", 10.0, 2.0)


def test_a_regression_is_compared_on_the_scale_of_its_head() -> None:
    targets = _targets([(0, 0, 8.0, 0), (1, 0, 12.0, 0)], [_PLAIN])  # -1 and +1: deviation 1
    assert _loss([[-1.0], [1.0]], targets) == 0.0
    assert _loss([[-1.5], [1.0]], targets) == pytest.approx((0.5 - 0.1) / 2)
    assert _loss([[-1.02], [1.0]], targets) == pytest.approx(2.5 * 0.02**2 / 2, rel=1e-4)
    assert _loss([[-4.0], [1.0]], targets) == pytest.approx((3.0 - 0.1) / 2)


@pytest.mark.parametrize(("side", "wrong"), [(-1, 1.0), (1, -1.0)])
def test_a_qualified_value_pulls_from_one_side_only(side: int, wrong: float) -> None:
    targets = _targets([(0, 0, 8.0, side), (1, 0, 12.0, 0)], [_PLAIN])
    assert _loss([[-1.0 - wrong], [1.0]], targets) == 0.0
    assert _loss([[-1.0 + wrong], [1.0]], targets) == pytest.approx((1.0 - 0.1) / 2)
    outputs = torch.tensor([[-1.0 - wrong], [1.0]], requires_grad=True)
    masked_loss(outputs, _entries(targets)).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    assert not outputs.grad.any()


def test_a_missing_label_has_no_say() -> None:
    tasks = [_PLAIN, TaskSpec("y", "classification")]
    targets = _targets([(0, 0, 8.0, 0), (1, 0, 12.0, 0), (1, 1, 1.0, 0)], tasks)
    outputs = torch.tensor([[0.0, 50.0], [0.0, 0.0]], requires_grad=True)
    masked_loss(outputs, _entries(targets)).backward()  # type: ignore[no-untyped-call]
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
    targets = _targets(entries, tasks)
    weights = _entries(targets).weights
    small = torch.from_numpy(targets.labels.cols == 1)
    ratio = float(weights[~small].sum() / weights[small].sum())
    assert ratio == pytest.approx((16 / 2) ** 0.5)
    assert float(weights.sum()) == pytest.approx(18)


def test_importance_weighs_the_labels() -> None:
    targets = _targets([(0, 0, 8.0, 0), (1, 0, 12.0, 0)], [_PLAIN], importance=[3.0, 1.0])
    assert _entries(targets).weights.tolist() == pytest.approx([1.5, 0.5])


def test_a_constant_task_does_not_blow_up() -> None:
    targets = _targets([(0, 0, 10.0, 0), (1, 0, 10.0, 0)], [_PLAIN])
    assert _loss([[1.0], [0.0]], targets) == pytest.approx((20.0 - 0.1) / 2)


def test_a_task_that_is_half_noise_weighs_half() -> None:
    tasks = [TaskSpec("clean", "regression"), TaskSpec("noisy", "regression", 0.0, 5.0)]
    entries = [(row, col, float(2 * row), 0) for row in (0, 1) for col in (0, 1)]  # deviation 1
    weights = _entries(_targets(entries, tasks, noise=(0.0, 0.5**0.5))).weights
    assert weights.tolist() == pytest.approx([4 / 3, 2 / 3, 4 / 3, 2 / 3])


def test_a_task_of_mere_noise_keeps_a_tenth_and_a_class_all() -> None:
    tasks = [TaskSpec("noise", "regression"), TaskSpec("class", "classification")]
    entries = [(row, col, float(row), 0) for row in (0, 1) for col in (0, 1)]
    weights = _entries(_targets(entries, tasks, noise=(9.0, 9.0))).weights
    assert float(weights[0] / weights[1]) == pytest.approx(0.1)


def _dense_loss(
    outputs: torch.Tensor, labels: Labels, tasks: list[TaskSpec], rows: npt.NDArray[np.int64]
) -> torch.Tensor:
    """The loss as a formula over dense matrices, which no training could hold."""
    shape = (int(labels.rows.max()) + 1, len(tasks))
    values, sides, weights = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    classes = np.array([task.kind == "classification" for task in tasks])
    centre = np.where(classes, 0.0, [task.centre for task in tasks])
    spread = np.where(classes, 1.0, [task.spread for task in tasks])
    scaled = (labels.values - centre[labels.cols]) / spread[labels.cols]
    values[labels.rows, labels.cols] = scaled
    sides[labels.rows, labels.cols] = labels.qualifiers
    counts = np.bincount(labels.cols, minlength=len(tasks))
    assert labels.importance is not None
    raw = labels.importance / np.sqrt(counts[labels.cols])
    weights[labels.rows, labels.cols] = raw / raw.mean()
    deviation = [1.0 if c else scaled[labels.cols == i].std() for i, c in enumerate(classes)]
    kept = torch.from_numpy(weights[rows])
    target, side = torch.from_numpy(values[rows]), torch.from_numpy(sides[rows])
    residual = outputs.double() - target
    residual = torch.where(side < 0, residual.clamp(min=0), residual)
    residual = torch.where(side > 0, residual.clamp(max=0), residual) / torch.tensor(deviation)
    size = residual.abs()
    smooth = torch.where(size < 0.2, 2.5 * residual**2, size - 0.1)
    entropy = functional.binary_cross_entropy_with_logits(
        outputs.double(), target.clamp(0, 1), reduction="none"
    )
    losses = torch.where(torch.from_numpy(classes), entropy, smooth) * kept
    return losses.sum() / (kept > 0).sum()


def test_the_sparse_loss_is_the_dense_formula() -> None:
    random = np.random.default_rng(2)
    tasks = [
        TaskSpec("a", "regression", 40.0, 10.0),
        TaskSpec("b", "classification"),
        TaskSpec("c", "regression", -1.0, 0.5),
    ]
    cells = random.permutation(200 * 3)[:350]  # in no order at all
    rows, cols = cells // 3, cells % 3
    values = np.where(cols == 1, random.integers(0, 2, 350), random.normal(40.0, 9.0, 350))
    sides = np.where(cols == 1, 0, random.integers(-1, 2, 350))
    labels = Labels(
        rows,
        cols,
        values.astype(np.float32),
        sides.astype(np.int8),
        random.uniform(0.2, 2.0, 350).astype(np.float32),
    )
    targets = Targets.build(labels, tasks, 200)
    batch = random.permutation(np.unique(rows))[:64]
    first = torch.from_numpy(random.normal(size=(64, 3)).astype(np.float32)).requires_grad_()
    second = first.detach().clone().requires_grad_()
    sparse = masked_loss(first, targets.take(batch, _CPU))
    dense = _dense_loss(second, labels, tasks, batch)
    assert float(sparse.detach()) == pytest.approx(float(dense.detach()), rel=1e-6)
    sparse.backward()  # type: ignore[no-untyped-call]
    dense.backward()  # type: ignore[no-untyped-call]
    assert first.grad is not None
    assert second.grad is not None
    assert torch.allclose(first.grad, second.grad, atol=1e-7)


def test_labels_in_the_order_of_their_rows_are_not_copied() -> None:
    labels = Labels(
        np.array([0, 0, 2]), np.array([1, 0, 0]), np.ones(3, np.float32), np.zeros(3, np.int8)
    )
    tasks = [_PLAIN, TaskSpec("y", "regression")]
    assert Targets.build(labels, tasks, 3).labels is labels


def test_a_batch_without_a_label_costs_nothing() -> None:
    targets = Targets.build(
        Labels(np.array([0]), np.array([0]), np.ones(1, np.float32), np.zeros(1, np.int8)),
        [_PLAIN],
        2,
    )
    assert float(masked_loss(torch.zeros(1, 1), targets.take(np.array([1]), _CPU))) == 0.0
