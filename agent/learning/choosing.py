"""Which of several models answers for a task: the one asked for, unless another is better for sure.

Models are compared in pairs, on the same compounds: a difference between two models is far more
certain than either's error (Ash et al. 2025). Seeded: equal arguments give an equal choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.learning import metrics
from agent.learning.tasks import Labels, TaskSpec

FEWEST = 20  # labels; of fewer even a bootstrap interval is a guess
_RESAMPLES = 1_000
_PERCENTILES = (2.5, 97.5)
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing the models came to, for one task.

    Attributes:
        chosen: The name of the model that shall answer.
        n: Labels that they were compared on.
        errors: Of every model: mean absolute error on the transformed scale, or 1 - AUROC.
        gain: 95 % interval of how much smaller the chosen one's error is than that of the model
            asked for; None where that one was kept.
    """

    chosen: str
    n: int
    errors: Mapping[str, float]
    gain: tuple[float, float] | None


def compare(
    answers: Mapping[str, Floats], asked: str, labels: Labels, tasks: Sequence[TaskSpec]
) -> dict[str, Comparison]:
    """Compares models task by task; tasks with too few labels, or of one class only, are left out.

    Args:
        answers: By the model's name, float32 (n, tasks), on the transformed scale.
        asked: The name of the model that answers unless another is better beyond its interval.
        labels: Of the same rows and columns, which no model has learned from.
        tasks: The columns.
    """
    found = {}
    for column, task in enumerate(tasks):
        own = labels.select(labels.cols == column)
        if len(own) < FEWEST or (task.kind == "classification" and np.ptp(own.values) == 0):
            continue
        predicted = {name: answer[own.rows, column] for name, answer in answers.items()}
        found[task.name] = _compare(predicted, asked, own, task)
    return found


def _compare(
    predicted: Mapping[str, Floats], asked: str, labels: Labels, task: TaskSpec
) -> Comparison:
    samples = {name: _resampled(one, labels, task) for name, one in predicted.items()}
    errors = {name: float(sample[0]) for name, sample in samples.items()}
    chosen, gain = asked, None
    for name in sorted(errors, key=lambda name: errors[name]):
        low, high = np.nanpercentile(samples[asked][1:] - samples[name][1:], _PERCENTILES)
        if low > 0:
            chosen, gain = name, (float(low), float(high))
            break
    return Comparison(chosen, len(labels), errors, gain)


def _resampled(predicted: Floats, labels: Labels, task: TaskSpec) -> Doubles:
    """Returns the error on the labels, then on each resample of them; the same for every model."""
    random, n = np.random.default_rng(0), len(labels)
    if task.kind == "classification":
        draws = (random.integers(0, n, n) for _ in range(_RESAMPLES))
        whole = metrics.auroc(predicted, labels.values)
        rest = [metrics.auroc(predicted[draw], labels.values[draw]) for draw in draws]
        return 1 - np.array([whole, *rest])
    errors = np.abs(metrics.residuals(predicted, labels.values, labels.qualifiers))
    means = [errors[random.integers(0, n, n)].mean() for _ in range(_RESAMPLES)]
    return np.array([errors.mean(), *means])
