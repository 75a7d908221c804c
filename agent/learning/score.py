"""Predicting with weights, and scoring what was predicted against measured labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from agent.learning import metrics
from agent.learning.batches import DeviceChoice, pick_device, to_batch
from agent.learning.network import SparseTrunk
from agent.learning.tasks import Labels, Rows, TaskSpec
from agent.wire.documents import NetworkSpec
from agent.wire.network import Weights

_BATCH = 4_096


@dataclass(frozen=True, slots=True)
class Score:
    """One task's error on held-out labels; smaller is better.

    Attributes:
        metric: `MAE`, on the transformed scale, or `1-AUROC` for a class.
        value: The error; None where it is not defined (no label, or one class only).
        n: The number of labels.
        more: Further figures by name, those that are defined: for a regression `rmse`, and over
            the unqualified labels `r2` and `spearman`.
    """

    metric: str
    value: float | None
    n: int
    more: Mapping[str, float]


def predict(
    weights: Weights,
    network: NetworkSpec,
    features: Rows,
    tasks: Sequence[TaskSpec],
    device: DeviceChoice = "auto",
) -> npt.NDArray[np.float32]:
    """Predicts every task for every row.

    Args:
        weights: Checked tensors with a head for each task.
        network: What they belong to.
        features: n rows.
        tasks: The columns of the answer.
        device: Where to compute.

    Returns:
        float32 (n, tasks): on the task's transformed scale; a probability for a class.

    Raises:
        Refused: `no_head`: there is no task.
        Stop: As `pick_device`.
    """
    place = pick_device(device)
    model = SparseTrunk(network, weights, [task.name for task in tasks]).to(place).eval()
    classes = torch.tensor([task.kind == "classification" for task in tasks], device=place)
    spread = torch.tensor([task.spread for task in tasks], device=place)
    centre = torch.tensor([task.centre for task in tasks], device=place)
    parts = [np.zeros((0, len(tasks)), np.float32)]
    with torch.inference_mode():
        for start in range(0, len(features), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(features)))
            outputs = model(to_batch(features.take(rows), place))
            answer = torch.where(classes, torch.sigmoid(outputs), outputs * spread + centre)
            parts.append(answer.cpu().numpy())
    return np.concatenate(parts)


def score_tasks(
    predictions: npt.NDArray[np.float32], labels: Labels, tasks: Sequence[TaskSpec]
) -> dict[str, Score]:
    """Scores predictions, float32 (n, tasks), against labels of the same rows; one score a task."""
    scores = {}
    for column, task in enumerate(tasks):
        own = labels.select(labels.cols == column)
        scores[task.name] = _score(predictions[own.rows, column], own, task)
    return scores


def _score(predicted: npt.NDArray[np.float32], labels: Labels, task: TaskSpec) -> Score:
    if task.kind == "classification":
        error = 1.0 - metrics.auroc(predicted, labels.values)
        return Score("1-AUROC", _defined(error), len(labels), {})
    error = metrics.mae(predicted, labels.values, labels.qualifiers)
    exact = labels.qualifiers == 0
    more = {
        "rmse": metrics.rmse(predicted, labels.values, labels.qualifiers),
        "r2": metrics.r2(predicted[exact], labels.values[exact]),
        "spearman": metrics.spearman(predicted[exact], labels.values[exact]),
    }
    defined = {name: figure for name, figure in more.items() if not math.isnan(figure)}
    return Score("MAE", _defined(error), len(labels), defined)


def _defined(figure: float) -> float | None:
    return None if math.isnan(figure) else figure
