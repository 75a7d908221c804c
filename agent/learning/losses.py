"""The masked multi-task loss: qualifiers respected, tasks balanced.

A value known only as "< 3" says nothing against a prediction of 1: the loss is one-sided there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from agent.learning.tasks import Labels, TaskSpec

HUBER_DELTA = 1.0  # in standard deviations of the task's labels at this silo
_LEAST_DEVIATION = 0.05  # of a task's spread: a constant task must not blow up the loss


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Labels as dense matrices over (row, task), on the training device.

    Attributes:
        values: float32; on the heads' scale for a regression, 0 or 1 for a class.
        weights: float32; 0 where there is no label; the mean over the labels is 1.
        sides: float32; -1 for "<", 0 for "=", +1 for ">".
        deviations: float32 (tasks,); the labels' standard deviation on the heads' scale.
        classes: bool (tasks,).
    """

    values: torch.Tensor
    weights: torch.Tensor
    sides: torch.Tensor
    deviations: torch.Tensor
    classes: torch.Tensor

    @classmethod
    def build(
        cls, labels: Labels, tasks: Sequence[TaskSpec], rows: int, device: torch.device
    ) -> "Targets":
        """Spreads checked labels out over `rows` feature rows."""
        classes = np.array([task.kind == "classification" for task in tasks])
        values = _on_head_scale(labels, tasks, classes)
        shape = (rows, len(tasks))
        matrices = (
            _spread_out(values, labels, shape),
            _spread_out(_balanced(labels, len(tasks)), labels, shape),
            _spread_out(labels.qualifiers.astype(np.float32), labels, shape),
            _deviations(values, labels.cols, classes),
            classes,
        )
        return cls(*(torch.from_numpy(matrix).to(device) for matrix in matrices))

    def take(self, rows: torch.Tensor) -> "Targets":
        """Returns the given rows."""
        parts = (self.values[rows], self.weights[rows], self.sides[rows])
        return Targets(*parts, self.deviations, self.classes)


def masked_loss(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
    """Returns the mean loss over the labels of a batch, a scalar.

    Huber's loss on residuals in standard deviations for regressions (one-sided where qualified),
    binary cross-entropy on logits for classes. Every label counts by its weight, so that a task of
    n labels pulls with about the square root of n.

    Args:
        outputs: float32 (n, tasks), as the network gives them.
        targets: The same rows' targets.
    """
    residuals = outputs - targets.values
    # "<": a prediction below the limit is right; ">": one above it is.
    residuals = torch.where(targets.sides < 0, residuals.clamp(min=0), residuals)
    residuals = torch.where(targets.sides > 0, residuals.clamp(max=0), residuals)
    scaled = residuals / targets.deviations
    huber = functional.huber_loss(
        scaled, torch.zeros_like(scaled), reduction="none", delta=HUBER_DELTA
    )
    entropy = functional.binary_cross_entropy_with_logits(
        outputs, targets.values.clamp(0, 1), reduction="none"
    )
    losses = torch.where(targets.classes, entropy, huber) * targets.weights
    return losses.sum() / (targets.weights > 0).sum().clamp(min=1)


def _on_head_scale(
    labels: Labels, tasks: Sequence[TaskSpec], classes: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    centre = np.where(classes, 0.0, [task.centre for task in tasks])
    spread = np.where(classes, 1.0, [task.spread for task in tasks])
    scaled = (labels.values - centre[labels.cols]) / spread[labels.cols]
    return scaled.astype(np.float32)


def _balanced(labels: Labels, tasks: int) -> npt.NDArray[np.float32]:
    counts = np.bincount(labels.cols, minlength=tasks).clip(min=1)
    weights = 1.0 / np.sqrt(counts[labels.cols])
    if labels.importance is not None:
        weights = weights * labels.importance
    balanced: npt.NDArray[np.float64] = weights / weights.mean()
    return balanced.astype(np.float32)


def _deviations(
    values: npt.NDArray[np.float32], cols: npt.NDArray[np.int64], classes: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    counts = np.bincount(cols, minlength=len(classes)).clip(min=1)
    mean = np.bincount(cols, values, len(classes)) / counts
    variance = np.bincount(cols, (values - mean[cols]) ** 2, len(classes)) / counts
    deviations = np.sqrt(variance).clip(min=_LEAST_DEVIATION)
    return np.where(classes, 1.0, deviations).astype(np.float32)


def _spread_out(
    entries: npt.NDArray[np.float32], labels: Labels, shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    matrix = np.zeros(shape, dtype=np.float32)
    matrix[labels.rows, labels.cols] = entries
    return matrix
