"""Training with differential privacy: what leaves tells hardly more with a compound than without.

DP-SGD (Abadi et al. 2016, arXiv:1607.00133) with AdamW after the noise, which costs nothing more:
each step samples every compound by itself, clips its gradient over all of its labels and all
tensors, and adds noise to the sum. Everything else that a step takes is the plan's and not the
data's: the number of steps, the lot that the sum is divided by, the labels' weights.

No standing is kept between steps. A training that was killed starts anew, with new noise: nothing
of the dead one was kept, so it cost no more than its reservation.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from agent.errors import Refused
from agent.learning.batches import pick_device, to_batch
from agent.learning.ghost import Gradients, clipped_sum
from agent.learning.losses import Targets
from agent.learning.moments import Moments, make_optimizer, moments_of
from agent.learning.network import SparseTrunk
from agent.learning.noise import Unforeseen
from agent.learning.numerics import computing
from agent.learning.schedule import learning_rate
from agent.learning.settings import Progress, Settings
from agent.learning.tasks import Labels, Rows, TaskSpec
from agent.learning.train import Fitted, anchors_of, finite_weights
from agent.wire.documents import NetworkSpec
from agent.wire.network import Weights

_CHUNK = 1_024  # rows whose gradients are computed together
# Of the noise's deviation. The last bits of a floating-point sum could tell what was added to what
# (Mironov 2012, doi:10.1145/2382196.2382264); on this grid thousands of draws give each number.
_GRID = 1_024


@dataclass(frozen=True, slots=True)
class Terms:
    """What a training with noise was paid for.

    Attributes:
        noise: Standard deviation of the noise, over the clipping norm.
        clip: The most that a compound's gradient may come to.
        rate: With which probability a step samples a compound.
        steps: How many steps.
        lot: What each sum is divided by: a number of the plan, since the mean number of sampled
            compounds would tell how many there are.
    """

    noise: float
    clip: float
    rate: float
    steps: int
    lot: int

    def check(self) -> None:
        """Checks that there is noise at all.

        Raises:
            Refused: `no_noise`.
        """
        if not (self.noise > 0 and self.clip > 0 and 0 < self.rate <= 1 and self.lot > 0):
            raise Refused("no_noise", "Terms without noise, clip or sampling protect nobody.")


def fit_private(  # noqa: PLR0913  (as `train.fit`)
    weights: Weights,
    network: NetworkSpec,
    features: Rows,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    settings: Settings,
    terms: Terms,
    on_progress: Progress,
    *,
    moments: Moments | None = None,
    secret: Unforeseen | None = None,
) -> Fitted:
    """Trains a copy of the weights; see `train.fit_on`.

    Args:
        weights: As for `train.fit_on`, and so are the next ones.
        network: What they belong to.
        features: Rows to learn from.
        labels: Theirs.
        tasks: The heads.
        moments: The optimizer's, if they have seen nothing but noisy gradients.
        settings: As there; `epochs`, `batch_size`, `noise`, `train_only` and `patience` are not
            used, since the terms say how many steps, and the rest would depend on the data.
        terms: What was paid for.
        on_progress: Told after each hundredth of the steps, with no loss: it would cost, too.
        secret: Where sampling and noise come from; tests give one.

    Raises:
        Refused: `no_noise`, or as `train.fit_on`.
        Stop: As `pick_device`.
    """
    terms.check()
    labels.check(len(features), len(tasks))
    device = pick_device(settings.device)
    targets = Targets.fixed(labels, tasks, len(features))
    with computing(settings, device):
        model = SparseTrunk(network, weights, [task.name for task in tasks]).to(device)
        run = _Private(model, features, targets, settings, terms, secret or Unforeseen())
        run.begin(weights, moments)
        for step in range(terms.steps):
            run.take_step(step)
            if (step + 1) % math.ceil(terms.steps / 100) == 0 or step + 1 == terms.steps:
                on_progress(step + 1, terms.steps, math.nan)
    trained = finite_weights({**weights, **model.to_weights()})
    return Fitted(trained, run.moments(), settings.epochs)


def sampled_gradient(  # noqa: PLR0913  (as `fit_private`)
    weights: Weights,
    network: NetworkSpec,
    features: Rows,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    settings: Settings,
    how: tuple[float, float],
    *,
    secret: Unforeseen | None = None,
) -> Weights:
    """Returns the sum of sampled rows' clipped gradients, without noise: it must not leave as is.

    It is what a silo brings into a sum under masks, where the noise comes from all silos together
    (`agent.wire.masking.sharing`).

    Args:
        weights: Where the gradients are taken, and the others as for `fit_private`.
        network: What the weights belong to.
        features: Rows.
        labels: Theirs.
        tasks: The heads.
        settings: Device and threads; nothing else is used.
        how: With which probability a row is sampled, and the norm that its gradient is clipped to.
        secret: Where sampling comes from; tests give one.

    Raises:
        Refused: As `fit_private`.
        Stop: As `pick_device`.
    """
    labels.check(len(features), len(tasks))
    device = pick_device(settings.device)
    targets = Targets.fixed(labels, tasks, len(features))
    with computing(settings, device):
        model = SparseTrunk(network, weights, [task.name for task in tasks]).to(device)
        model.train()
        source = secret or Unforeseen()
        model.dropout.reseed(source.seed())
        total = _sampled_sum(model, features, targets, how, source)
    zeros = {name: np.zeros_like(tensor) for name, tensor in weights.items()}
    found = {name: tensor.float().cpu().numpy() for name, tensor in total.items()}
    return finite_weights({**zeros, **found})


class _Private:
    def __init__(
        self,
        model: SparseTrunk,
        features: Rows,
        targets: Targets,
        settings: Settings,
        terms: Terms,
        secret: Unforeseen,
    ) -> None:
        self._model, self._features, self._targets = model, features, targets
        self._settings, self._terms, self._secret = settings, terms, secret

    def begin(self, weights: Weights, moments: Moments | None) -> None:
        settings = self._settings
        self._model.train()
        self._optimizer = make_optimizer(self._model, settings, moments)
        self._anchors = dict(anchors_of(self._model, weights)) if settings.proximal else {}

    def take_step(self, step: int) -> None:
        """Samples, clips, adds noise, and steps; an empty sample takes a step of noise alone."""
        settings, terms = self._settings, self._terms
        rate = learning_rate(settings, step / terms.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        # Unknown to others: by a known seed a compound would change which parts of the network
        # drop out for those after it in the lot, and so the sum by more than its own gradient.
        self._model.dropout.reseed(self._secret.seed())
        total = self._clipped_total()
        unit = terms.noise * terms.clip
        for (name, tensor), noise in zip(self._model.by_name().items(), self._noise(), strict=True):
            if name in total:
                noise.add_(total[name], alpha=1 / unit)
            tensor.grad = noise.mul_(_GRID).round_().mul_(unit / _GRID / terms.lot)
            if tensor in self._anchors:
                held = tensor.detach() - self._anchors[tensor]
                tensor.grad.add_(held, alpha=settings.proximal)
        self._optimizer.step()

    def _noise(self) -> Iterator[torch.Tensor]:
        tensors = self._model.by_name().values()
        drawn = self._secret.normal(sum(tensor.numel() for tensor in tensors))
        drawn = drawn.to(self._model.tensors[0].device)
        parts = torch.split(drawn, [tensor.numel() for tensor in tensors])
        return (part.view(own.shape) for part, own in zip(parts, tensors, strict=True))

    def _clipped_total(self) -> Gradients:
        terms = self._terms
        return _sampled_sum(
            self._model, self._features, self._targets, (terms.rate, terms.clip), self._secret
        )

    def moments(self) -> Moments:
        return moments_of(self._optimizer, self._model)


def _sampled_sum(
    model: SparseTrunk,
    features: Rows,
    targets: Targets,
    how: tuple[float, float],
    secret: Unforeseen,
) -> Gradients:
    """Returns the sum of the clipped gradients of rows that are sampled at a rate, by name."""
    rate, clip = how
    lot = targets.rows[secret.sampled(len(targets.rows), rate)]
    device = model.tensors[0].device
    total: Gradients = {}
    for start in range(0, len(lot), _CHUNK):
        chunk = lot[start : start + _CHUNK]
        batch = to_batch(features.take(chunk), device, model.hash_size)
        entries = targets.take(chunk, device)
        for name, part in clipped_sum(model, batch, entries, clip)[0].items():
            total[name] = part if name not in total else total[name].add_(part)
    return total
