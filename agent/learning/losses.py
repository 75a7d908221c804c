"""The masked multi-task loss: qualifiers respected, tasks balanced, labels sparse.

A value known only as "< 3" says nothing against a prediction of 1: the loss is one-sided there.
No matrix over (rows, tasks) is ever made: a batch gathers its own entries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from agent.learning.batches import to_device
from agent.learning.tasks import Labels, TaskSpec

SMOOTH_BELOW = 0.2  # in standard deviations of the task's labels at this silo
"""Where the loss turns from the residual's square to the residual itself: what is judged is the
absolute error, and a series' outliers should not pull; but a task of few labels is too noisy for
the bare absolute error (docs/modelling.md)."""
_LEAST_DEVIATION = 0.05  # of a task's spread: a constant task must not blow up the loss
_LEAST_RELIABILITY = 0.1  # of a task that seems all noise: estimates of noise are rough
_CHUNK = 1 << 22  # labels looked at together, so that memory does not grow with their number

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """What the loss knows of each task; all arrays are (tasks,).

    Attributes:
        centre, spread: float64; from the transformed scale to the heads'; 0 and 1 for a class.
        deviation: float32; the labels' standard deviation on the heads' scale; 1 for a class.
        weight: float32; of one label; the mean over all labels, importance included, is 1.
        classes: bool.
    """

    centre: Doubles
    spread: Doubles
    deviation: Floats
    weight: Floats
    classes: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """The labels of one batch, on the training device, each tensor (k,).

    Attributes:
        cells: int64; the place of each in the batch's outputs (n, tasks), flattened.
        values: float32; on the heads' scale for a regression, 0 or 1 for a class.
        weights: float32.
        limits: Two of float32; what a residual is clipped to: [0, inf] for "<", [-inf, 0] for
            ">". None where no label is qualified.
        deviations: float32.
        classes: bool, or None where no label is a class.
    """

    cells: torch.Tensor
    values: torch.Tensor
    weights: torch.Tensor
    limits: tuple[torch.Tensor, torch.Tensor] | None
    deviations: torch.Tensor
    classes: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.cells)


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Labels by row, as they were given; a batch takes its own and scales only those.

    Attributes:
        starts: int64 (rows + 1,); row i's labels are at `starts[i]:starts[i + 1]`.
        labels: In the order of their rows.
        scales: Of the tasks.
    """

    starts: npt.NDArray[np.int64]
    labels: Labels
    scales: Scales

    @classmethod
    def build(
        cls,
        labels: Labels,
        tasks: Sequence[TaskSpec],
        rows: int,
        noise: Sequence[float] = (),
    ) -> "Targets":
        """Orders checked labels of `rows` feature rows; those in order already are not copied.

        Args:
            labels: What was measured.
            tasks: The columns.
            rows: The number of feature rows.
            noise: As `Settings.noise`.
        """
        starts = np.zeros(rows + 1, np.int64)
        np.cumsum(np.bincount(labels.rows, minlength=rows), out=starts[1:])
        return cls(starts, _by_row(labels), _scales(labels, tasks, noise))

    @classmethod
    def fixed(cls, labels: Labels, tasks: Sequence[TaskSpec], rows: int) -> "Targets":
        """Orders labels whose loss must not depend on other compounds' labels.

        Every label weighs 1, whatever its task has, and a deviation is the published spread: what
        `build` measures of all labels would tell of each. Importance is left out for the same
        reason.
        """
        own = cls.build(replace(labels, importance=None), tasks, rows)
        ones = np.ones(len(tasks), np.float32)
        return replace(own, scales=replace(own.scales, deviation=ones, weight=ones))

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The rows that have a label, ascending."""
        return np.flatnonzero(np.diff(self.starts))

    def count(self, rows: npt.NDArray[np.int64]) -> int:
        """Returns how many labels these rows have."""
        return int((self.starts[rows + 1] - self.starts[rows]).sum())

    def take(self, rows: npt.NDArray[np.int64], device: torch.device) -> Entries:
        """Returns the labels of the given rows, which are the batch's in this order."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        ends = np.cumsum(lengths)
        source = np.arange(lengths.sum()) + np.repeat(self.starts[rows] - (ends - lengths), lengths)
        cols, scales = np.asarray(self.labels.cols[source]), self.scales
        values = (self.labels.values[source] - scales.centre[cols]) / scales.spread[cols]
        weights = scales.weight[cols]
        if self.labels.importance is not None:
            weights = weights * self.labels.importance[source]
        numbers = np.repeat(np.arange(len(rows)), lengths)
        classes = scales.classes[cols]
        return Entries(
            to_device(numbers * len(scales.classes) + cols, device),
            to_device(values.astype(np.float32), device),
            to_device(weights, device),
            _limits(self.labels.qualifiers[source], device),
            to_device(scales.deviation[cols], device),
            to_device(classes, device) if classes.any() else None,
        )


def masked_loss(
    outputs: torch.Tensor, entries: Entries, count: float | None = None
) -> torch.Tensor:
    """Returns the mean loss over the labels of a batch, a scalar.

    The smooth absolute error (Huber's loss over its delta, so that its slope ends at 1 whatever the
    delta) of residuals in standard deviations for regressions, one-sided where qualified; binary
    cross-entropy on logits for classes. Every label counts by its weight, so that a task of n
    labels pulls with about the square root of n.

    Args:
        outputs: float32 (n, tasks), as the network gives them.
        entries: The same rows' labels.
        count: What the sum is divided by, where it is not the number of entries.
    """
    losses = label_losses(outputs, entries)
    return losses.sum() / max(len(entries) if count is None else count, 1)


def label_losses(outputs: torch.Tensor, entries: Entries) -> torch.Tensor:
    """Returns each label's loss times its weight, (k,); see `masked_loss`."""
    chosen = outputs.reshape(-1).gather(0, entries.cells)
    residuals = chosen - entries.values
    if entries.limits is not None:
        # "<": a prediction below the limit is right; ">": one above it is.
        residuals = residuals.clamp(*entries.limits)
    scaled = residuals / entries.deviations
    losses = functional.smooth_l1_loss(
        scaled, torch.zeros_like(scaled), reduction="none", beta=SMOOTH_BELOW
    )
    if entries.classes is not None:
        entropy = functional.binary_cross_entropy_with_logits(
            chosen, entries.values.clamp(0, 1), reduction="none"
        )
        losses = torch.where(entries.classes, entropy, losses)
    return losses * entries.weights


def _limits(
    sides: npt.NDArray[np.int8], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor] | None:
    if not sides.any():
        return None
    lowest = np.where(sides < 0, 0.0, -np.inf).astype(np.float32)
    highest = np.where(sides > 0, 0.0, np.inf).astype(np.float32)
    return to_device(lowest, device), to_device(highest, device)


def _by_row(labels: Labels) -> Labels:
    if bool((labels.rows[1:] >= labels.rows[:-1]).all()):
        return labels
    order = np.argsort(labels.rows, kind="stable")
    return Labels(
        labels.rows[order],
        labels.cols[order],
        labels.values[order],
        labels.qualifiers[order],
        None if labels.importance is None else labels.importance[order],
    )


def _scales(labels: Labels, tasks: Sequence[TaskSpec], noise: Sequence[float]) -> Scales:
    classes = np.array([task.kind == "classification" for task in tasks])
    centre = np.where(classes, 0.0, [task.centre for task in tasks])
    spread = np.where(classes, 1.0, [task.spread for task in tasks])
    counts = np.zeros(len(tasks))
    for part in _chunks(labels):
        counts += np.bincount(part.cols, minlength=len(tasks))
    deviation = np.where(classes, 1.0, _deviations(labels, centre, spread, counts))
    weight = _reliability(noise, deviation * spread, classes) / np.sqrt(np.maximum(counts, 1))
    total = sum(float((weight[part.cols] * part.importance).sum()) for part in _chunks(labels))
    weight = weight * len(labels) / total
    return Scales(centre, spread, deviation.astype(np.float32), weight.astype(np.float32), classes)


def _deviations(labels: Labels, centre: Doubles, spread: Doubles, counts: Doubles) -> Doubles:
    size, divisor = len(counts), np.maximum(counts, 1)
    mean, variance = np.zeros(size), np.zeros(size)
    for part in _chunks(labels):
        scaled = (part.values - centre[part.cols]) / spread[part.cols]
        mean += np.bincount(part.cols, scaled, size) / divisor
    for part in _chunks(labels):
        scaled = (part.values - centre[part.cols]) / spread[part.cols]
        variance += np.bincount(part.cols, (scaled - mean[part.cols]) ** 2, size) / divisor
    return np.sqrt(variance).clip(min=_LEAST_DEVIATION)


def _reliability(
    noise: Sequence[float], deviation: Doubles, classes: npt.NDArray[np.bool_]
) -> Doubles:
    """Returns the part of each task's variance that is not noise, as in classical test theory."""
    if not noise:
        return np.ones(len(deviation))
    part = 1.0 - (np.asarray(noise, np.float64) / deviation) ** 2
    return np.where(classes, 1.0, part.clip(min=_LEAST_RELIABILITY))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    cols: npt.NDArray[np.int64]
    values: Floats
    importance: Floats | float


def _chunks(labels: Labels) -> Iterator[_Part]:
    for start in range(0, len(labels), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        importance = 1.0 if labels.importance is None else labels.importance[chunk]
        yield _Part(labels.cols[chunk], labels.values[chunk], importance)
