"""Federated averaging as arithmetic: the aggregator and a simulation in one process share it.

Federated averaging (McMahan et al. 2017, arXiv:1602.05629) with server momentum (Hsu et al. 2019,
arXiv:1909.06335). Each silo sends its weight w and w * delta per group of tensors, so a group's
mean is sum(w * delta) / sum(w) over the silos that trained it. Sums are float64 and taken in the
order given, so the same updates always give the same bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agent.wire.update import Weights, group_of


@dataclass
class Sums:
    """Running sums over silos, one float64 per shared weight.

    Attributes:
        products: Sum of w * delta by tensor; tensors that nobody trained are missing.
        weights: Sum of w by group.
    """

    products: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)

    def add(self, products: Weights, weight: Mapping[str, float]) -> None:
        """Adds one silo's update."""
        for name, tensor in products.items():
            if name in self.products:
                self.products[name] += tensor
            else:
                self.products[name] = tensor.astype(np.float64)
        for group, value in weight.items():
            self.weights[group] = self.weights.get(group, 0.0) + value

    def mean(self) -> Weights:
        """Returns the weighted mean delta of every tensor that somebody trained; ends the sums."""
        result: Weights = {}
        for name in sorted(self.products):
            mean = self.products.pop(name)
            mean /= self.weights[group_of(name)]  # in place: one tensor may be most of the model
            result[name] = mean.astype(np.float32)
        return result


def step(base: Weights, delta: Weights, momentum: Weights, decay: float) -> tuple[Weights, Weights]:
    """Moves the weights by the mean delta: v = decay * v + delta; weights = base + v.

    A tensor that nobody trained keeps its weight and its momentum.

    Args:
        base: The round's base weights.
        delta: Mean delta by tensor; tensors may be missing.
        momentum: v of the round before, or nothing in the first round.
        decay: The recipe's `server_momentum`, in [0, 1).

    Returns:
        The new weights and the new momentum, both of every tensor.
    """
    velocity = {n: momentum[n] if n in momentum else np.zeros_like(base[n]) for n in base}
    weights = dict(base)
    for name, change in delta.items():
        # Without momentum no second copy of a large tensor is made.
        velocity[name] = np.float32(decay) * velocity[name] + change if decay else change
        weights[name] = base[name] + velocity[name]
    return weights, velocity
