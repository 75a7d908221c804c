"""Training at a silo: AdamW over batches of rows, with a schedule that may span rounds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from agent.errors import Refused
from agent.learning.batches import DeviceChoice, pick_device, to_batch
from agent.learning.losses import Targets, masked_loss
from agent.learning.network import SparseTrunk
from agent.learning.tasks import Labels, Rows, TaskSpec
from agent.wire.documents import NetworkSpec
from agent.wire.network import Weights

Progress = Callable[[int, int, float], None]
"""Called after every epoch with (epochs done, epochs in all, mean loss)."""

_START_FRACTION = 1 / 25  # of the peak learning rate; OneCycleLR's default
_END_FRACTION = 1 / 250


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Attributes:
        epochs: Passes over the labelled rows.
        batch_size: Rows a step.
        learning_rate: The schedule's peak.
        weight_decay: AdamW's, on matrices only.
        seed: Of the order of rows and of dropout.
        warm_up: The part of the whole schedule in which the rate rises, 0 .. 1.
        window: Where this call lies in the whole schedule: (0, 1) for a run of its own; round r of
            R takes ((r - 1) / R, r / R).
        train_only: Prefixes of the tensors that may change; empty means all.
        threads: CPU threads of torch, for the whole process; 0 leaves them as they are.
        device: `auto` takes CUDA where there is one.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    seed: int = 0
    warm_up: float = 0.3
    window: tuple[float, float] = (0.0, 1.0)
    train_only: tuple[str, ...] = ()
    threads: int = 0
    device: DeviceChoice = "auto"


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """AdamW's memory of the tensors that were trained, by name; a silo keeps it between rounds.

    Attributes:
        first: Running means of the gradients.
        second: Running means of their squares.
        steps: Optimizer steps that went into them.
    """

    first: Weights
    second: Weights
    steps: int


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What training came to: all tensors, and the optimizer's memory to go on from."""

    weights: Weights
    moments: Moments


def fit(  # noqa: PLR0913  (what is trained, on what, and how: seven things, none of them bundled)
    weights: Weights,
    network: NetworkSpec,
    features: Rows,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    settings: Settings,
    on_progress: Progress,
) -> Weights:
    """Trains a copy of the weights and returns it.

    Args:
        weights: Checked tensors of the trunk and of every task's head; left as they are.
        network: What they belong to.
        features: Rows to learn from; those without a label are not used.
        labels: On the tasks' transformed scales.
        tasks: The heads, in the order of the labels' columns.
        settings: How to train.
        on_progress: Told after every epoch.

    Returns:
        All tensors of `weights`, trained or not, float32.

    Raises:
        Refused: `diverged` when the loss or a weight is not finite, `nothing_to_train` when
            `train_only` names no tensor, or as `Labels.check`.
        Stop: As `pick_device`.
    """
    return fit_on(weights, network, features, labels, tasks, settings, on_progress).weights


def fit_on(  # noqa: PLR0913  (as `fit`, and what it goes on from)
    weights: Weights,
    network: NetworkSpec,
    features: Rows,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    settings: Settings,
    on_progress: Progress,
    *,
    moments: Moments | None = None,
) -> Fitted:
    """Does what `fit` does, and goes on from the optimizer's memory of an earlier call.

    Args:
        weights: As `fit`.
        network: As `fit`.
        features: As `fit`.
        labels: As `fit`.
        tasks: As `fit`.
        settings: As `fit`.
        on_progress: As `fit`.
        moments: What an earlier call returned; a tensor that it lacks starts without memory.

    Raises:
        Refused: As `fit`.
        Stop: As `fit`.
    """
    labels.check(len(features), len(tasks))
    device = _prepare(settings)
    model = SparseTrunk(network, weights, [task.name for task in tasks]).to(device).train()
    optimizer = _optimizer(model, settings)
    if moments is not None:
        _recall(optimizer, model, moments)
    targets = Targets.build(labels, tasks, len(features), device)
    rows, order = np.unique(labels.rows), np.random.default_rng(settings.seed)
    for epoch in range(settings.epochs):
        total = torch.zeros((), device=device)
        steps = _steps(order.permutation(rows), settings.batch_size)
        for step, batch in enumerate(steps):
            _set_rate(optimizer, settings, (epoch + step / len(steps)) / settings.epochs)
            outputs = model(to_batch(features.take(batch), device))
            loss = masked_loss(outputs, targets.take(torch.from_numpy(batch).to(device)))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach()
        on_progress(epoch + 1, settings.epochs, _finite_loss(float(total) / len(steps)))
    trained = _finite_weights({**weights, **model.to_weights()})
    return Fitted(trained, _moments(optimizer, model))


def learning_rate(settings: Settings, done: float) -> float:
    """Returns the rate at a point of this call: a linear rise to the peak, then half a cosine.

    Args:
        settings: With the peak, the rising part and the window in the whole schedule.
        done: 0 at the start of this call, 1 at its end.
    """
    first, last = settings.window
    place = first + done * (last - first)
    if place < settings.warm_up:
        shape = _START_FRACTION + (1 - _START_FRACTION) * place / settings.warm_up
    else:
        fallen = (place - settings.warm_up) / max(1 - settings.warm_up, 1e-9)
        shape = _END_FRACTION + (1 - _END_FRACTION) * (1 + math.cos(math.pi * fallen)) / 2
    return settings.learning_rate * shape


def _prepare(settings: Settings) -> torch.device:
    torch.manual_seed(settings.seed)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    return pick_device(settings.device)


def _optimizer(model: SparseTrunk, settings: Settings) -> torch.optim.Optimizer:
    named = model.by_name()
    for name, tensor in named.items():
        chosen = not settings.train_only or name.startswith(settings.train_only)
        tensor.requires_grad_(chosen)
    trained = [tensor for tensor in named.values() if tensor.requires_grad]
    if not trained:
        raise Refused("nothing_to_train", "No tensor has a prefix that is to be trained.")
    # Biases and norms have no reason to be small.
    groups = [
        {"params": [t for t in trained if t.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [t for t in trained if t.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _recall(optimizer: torch.optim.Optimizer, model: SparseTrunk, moments: Moments) -> None:
    for name, tensor in model.by_name().items():
        if tensor.requires_grad and name in moments.first:
            optimizer.state[tensor] = {
                "step": torch.tensor(float(moments.steps), device=tensor.device),
                "exp_avg": torch.from_numpy(moments.first[name].copy()).to(tensor.device),
                "exp_avg_sq": torch.from_numpy(moments.second[name].copy()).to(tensor.device),
            }


def _moments(optimizer: torch.optim.Optimizer, model: SparseTrunk) -> Moments:
    known = {
        name: optimizer.state[tensor]
        for name, tensor in model.by_name().items()
        if tensor in optimizer.state
    }
    first, second = (
        {name: state[key].detach().cpu().numpy().copy() for name, state in known.items()}
        for key in ("exp_avg", "exp_avg_sq")
    )
    steps = max((int(state["step"]) for state in known.values()), default=0)
    return Moments(first, second, steps)


def _steps(rows: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
    return np.array_split(rows, math.ceil(len(rows) / size))


def _set_rate(optimizer: torch.optim.Optimizer, settings: Settings, done: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, done)


def _finite_loss(loss: float) -> float:
    if not math.isfinite(loss):
        raise Refused("diverged", "Training diverged; lower the plan's learning rate.")
    return loss


def _finite_weights(weights: Weights) -> Weights:
    for tensor in weights.values():
        _finite_loss(float(np.abs(tensor).sum()))
    return weights
