"""Training at a silo: AdamW over batches of rows, with a schedule that may span rounds."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from agent.errors import Refused
from agent.learning.batches import Batch, made_ahead, pick_device, to_batch
from agent.learning.checkpoint import Best, Checkpoint, Standing, fingerprint
from agent.learning.distributed import ALONE, Team
from agent.learning.losses import Entries, Targets, masked_loss
from agent.learning.moments import Moments as Moments
from agent.learning.moments import make_optimizer, moments_of
from agent.learning.network import SparseTrunk
from agent.learning.numerics import computing, narrow_products
from agent.learning.schedule import batches_of, dropout_seed
from agent.learning.schedule import learning_rate as learning_rate
from agent.learning.settings import Progress as Progress
from agent.learning.settings import Settings as Settings
from agent.learning.tasks import Labels, Rows, TaskSpec
from agent.wire.documents import NetworkSpec
from agent.wire.network import TRUNK, Weights

_VALIDATION_BATCH = 4_096
_RowNumbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What a training came to.

    Attributes:
        weights: All tensors that were given, trained or not, float32.
        moments: The optimizer's, of the tensors that were trained, after the last step.
        epochs: How many were done: fewer than asked for where it stopped early.
    """

    weights: Weights
    moments: Moments
    epochs: int


def fit(  # noqa: PLR0913  (what is trained, on what, and how: none of them bundled)
    weights: Weights,
    network: NetworkSpec,
    features: Rows,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    settings: Settings,
    on_progress: Progress,
    *,
    moments: Moments | None = None,
    checkpoint: Checkpoint | None = None,
) -> Weights:
    """Trains a copy of the weights and returns it; see `fit_on`."""
    return fit_on(
        weights,
        network,
        features,
        labels,
        tasks,
        settings,
        on_progress,
        moments=moments,
        checkpoint=checkpoint,
    ).weights


def fit_on(  # noqa: PLR0913  (as `fit`)
    weights: Weights,
    network: NetworkSpec,
    features: Rows,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    settings: Settings,
    on_progress: Progress,
    *,
    moments: Moments | None = None,
    checkpoint: Checkpoint | None = None,
    validation: Labels | None = None,
    team: Team = ALONE,
) -> Fitted:
    """Trains a copy of the weights.

    Args:
        weights: Checked tensors of the trunk and of every task's head; left as they are.
        network: What they belong to.
        features: Rows to learn from; those without a label are not used. They may be memory-mapped:
            a batch reads its own rows.
        labels: On the tasks' transformed scales.
        tasks: The heads, in the order of the labels' columns.
        settings: How to train.
        on_progress: Told after every epoch.
        moments: The optimizer's, from an earlier training of these tensors, to go on from.
        checkpoint: Where the standing is kept; a training that was killed and is called again with
            equal arguments goes on from there, and ends with the same weights.
        validation: Labels of other rows: the weights of the epoch with the least loss on them are
            returned, and `Settings.patience` may stop the training.
        team: The processes that share the training.

    Raises:
        Refused: `diverged` when the loss or a weight is not finite, `nothing_to_train` when
            `train_only` names no tensor, or as `Labels.check`.
        Stop: As `pick_device`.
        OSError: The checkpoint cannot be written.
    """
    labels.check(len(features), len(tasks))
    device = pick_device(settings.device)
    data = _data(features, labels, tasks, settings, device)
    judge = None if validation is None else _judge(data, validation, tasks)
    bound_to, start = "", Standing(0, 0, 0.0, weights, moments or Moments({}, {}, {}))
    if checkpoint is not None:
        measured = (labels, validation)
        bound_to = fingerprint(weights, network, features, measured, tasks, settings, moments)
        start = checkpoint.load(bound_to) or start
    with computing(settings, device):
        model = SparseTrunk(network, {**weights, **start.weights}, [task.name for task in tasks])
        run = _Training(model.to(device), start, weights, data, settings, team)
        while run.epoch < settings.epochs:
            for _ in run.steps():
                if checkpoint is not None and team.rank == 0 and checkpoint.is_due():
                    checkpoint.save(run.standing(), bound_to)
            on_progress(run.epoch + 1, settings.epochs, _finite_loss(run.mean_loss()))
            run.end_epoch(judge)
    return Fitted(finite_weights({**weights, **run.result()}), run.moments(), run.done)


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """Rows and their labels, of which batches are made."""

    features: Rows
    targets: Targets
    device: torch.device

    def batch(self, rows: _RowNumbers, hash_size: int) -> tuple[Batch, Entries]:
        batch = to_batch(self.features.take(rows), self.device, hash_size)
        return batch, self.targets.take(rows, self.device)


def _data(
    features: Rows,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    settings: Settings,
    device: torch.device,
) -> _Data:
    return _Data(features, Targets.build(labels, tasks, len(features), settings.noise), device)


def _judge(train: _Data, validation: Labels, tasks: Sequence[TaskSpec]) -> _Data:
    rows = len(train.features)
    validation.check(rows, len(tasks))
    # By the training labels' scales: what is judged is what was minimized.
    targets = replace(Targets.build(validation, tasks, rows), scales=train.targets.scales)
    return replace(train, targets=targets)


class _Training:
    """A training between its first step and its last."""

    def __init__(
        self,
        model: SparseTrunk,
        start: Standing,
        origin: Weights,
        data: _Data,
        settings: Settings,
        team: Team,
    ) -> None:
        self._model, self._data, self._settings, self._team = model, data, settings, team
        self._optimizer = make_optimizer(model, settings, start.moments)
        self._shared = team.wrap(model)
        self._rows = data.targets.rows
        self._hash_size = model.hash_size
        self._anchors = anchors_of(model, origin) if settings.proximal else []
        self._best = start.best
        self._total = torch.tensor(start.loss, dtype=torch.float64, device=data.device)
        self.epoch, self._step = start.epoch, start.step
        self.done = start.epoch

    def steps(self) -> Iterator[None]:
        """Does the rest of this epoch, a step at a time."""
        batches = batches_of(self._rows, self._settings, self.epoch)
        self._of = len(batches)
        self._shared.train()
        coming = made_ahead(self._make, batches[self._step :], self._data.device)
        for batch, entries, count in coming:
            self._total += self._take_step(batch, entries, count)
            self._step += 1
            yield

    def _make(self, rows: _RowNumbers) -> tuple[Batch, Entries, float]:
        # Every process divides by its part of the whole batch's labels, not by its own number.
        count = self._data.targets.count(rows) / self._team.size
        return *self._data.batch(self._team.own(rows), self._hash_size), count

    def _take_step(self, batch: Batch, entries: Entries, count: float) -> torch.Tensor:
        settings = self._settings
        rate = learning_rate(settings, (self.epoch + self._step / self._of) / settings.epochs)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._model.dropout.reseed(dropout_seed(settings, self._team.rank, self.epoch, self._step))
        with narrow_products(settings, self._data.device):
            outputs = self._shared(batch)
        loss = masked_loss(outputs.float(), entries, count)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for tensor, anchor in self._anchors:
            # The gradient of mu / 2 * |w - w0|^2, without a graph for it.
            if tensor.grad is not None:
                tensor.grad.add_(tensor.detach() - anchor, alpha=settings.proximal)
        self._optimizer.step()
        return loss.detach()

    def mean_loss(self) -> float:
        """Returns the mean loss of the steps of this epoch."""
        return float(self._team.mean(self._total)) / self._of

    def end_epoch(self, judge: _Data | None) -> None:
        """Goes on to the next epoch, or to the end where the judge's loss no longer falls."""
        self.done = self.epoch + 1
        self.epoch, self._step, self._total = self.done, 0, torch.zeros_like(self._total)
        if judge is None:
            return
        loss = self._judged(judge)
        if self._best is None or loss < self._best.loss:
            self._best = Best(loss, self._model.to_weights())
        else:
            self._best = replace(self._best, waited=self._best.waited + 1)
        if 0 < self._settings.patience <= self._best.waited:
            self.epoch = self._settings.epochs

    @torch.inference_mode()
    def _judged(self, judge: _Data) -> float:
        self._model.eval()
        total, rows = torch.zeros_like(self._total), judge.targets.rows
        for start in range(0, len(rows), _VALIDATION_BATCH):
            batch, entries = judge.batch(rows[start : start + _VALIDATION_BATCH], 0)
            total += masked_loss(self._model(batch), entries, 1)
        return float(self._team.mean(total)) / len(judge.targets.labels)

    def standing(self) -> Standing:
        """Returns where it stands, copied."""
        loss = float(self._total)
        weights = self._model.to_weights()
        return Standing(self.epoch, self._step, loss, weights, self.moments(), self._best)

    def moments(self) -> Moments:
        """Returns the optimizer's, copied."""
        return moments_of(self._optimizer, self._model)

    def result(self) -> Weights:
        """Returns the weights: the best where there is a judge, else the last."""
        return self._model.to_weights() if self._best is None else self._best.weights


def anchors_of(model: SparseTrunk, origin: Weights) -> list[tuple[nn.Parameter, torch.Tensor]]:
    """Returns the trunk's tensors that are trained, each with what FedProx holds it near."""
    return [
        (tensor, torch.from_numpy(origin[name]).to(tensor.device))
        for name, tensor in model.by_name().items()
        if name.startswith(TRUNK) and tensor.requires_grad
    ]


def _finite_loss(loss: float) -> float:
    if not math.isfinite(loss):
        raise Refused("diverged", "Training diverged; lower the plan's learning rate.")
    return loss


def finite_weights(weights: Weights) -> Weights:
    """Returns the weights.

    Raises:
        Refused: `diverged`: one of them is not finite.
    """
    for tensor in weights.values():
        _finite_loss(float(np.abs(tensor).sum()))
    return weights
