"""The aggregation step: the only place where envelopes are opened, and only in memory.

Federated averaging (McMahan et al. 2017, arXiv:1602.05629) with server momentum (Hsu et al. 2019,
arXiv:1909.06335). Each silo sends its weight w and w * delta per group of tensors, so a group's
mean is sum(w * delta) / sum(w) over the silos that trained it. Sums are float64 and taken in the
silos' order, so the same envelopes always give the same bytes.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.wire.envelope import Header, Unsealer, open_blob
from agent.wire.update import Shapes, Weights, group_of, unpack

# Weights are of order one. An update that moves one by more is a fault or an attack, and a few
# such could make the sum overflow float32.
MAX_STEP = 1e3


class Sealed(Protocol):
    """An envelope at rest."""

    @property
    def header(self) -> Header:
        """Its verified header; raises `Refused` when its signer is no longer trusted."""
        ...

    @property
    def envelope_id(self) -> str:
        """Its id."""
        ...

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Opens its blob for reading."""
        ...


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
            mean = self.products.pop(name) / self.weights[group_of(name)]
            result[name] = mean.astype(np.float32)
        return result


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What a round's envelopes came to.

    Attributes:
        delta: Mean delta by tensor.
        counted: Ids of the envelopes that are in it.
        refused: Why others are not, by envelope id.
    """

    delta: Weights
    counted: tuple[str, ...]
    refused: Mapping[str, str]


def aggregate(envelopes: Iterable[Sealed], recipient: Unsealer, shapes: Shapes) -> Aggregate:
    """Opens envelopes one at a time and averages them; a bad one is left out.

    In memory at once: the sums and one update, about four updates' size at the peak.

    Args:
        envelopes: In the silos' order.
        recipient: The round's sealing key.
        shapes: Every shared tensor and its shape.
    """
    sums = Sums()
    counted: list[str] = []
    refused: dict[str, str] = {}
    for envelope in envelopes:
        try:
            products, weight = _open(envelope, recipient, shapes)
        except Refused as refusal:
            refused[envelope.envelope_id] = refusal.reason
            continue
        sums.add(products, weight)
        counted.append(envelope.envelope_id)
    return Aggregate(sums.mean(), tuple(counted), refused)


def _open(
    envelope: Sealed, recipient: Unsealer, shapes: Shapes
) -> tuple[Weights, dict[str, float]]:
    with envelope.open() as blob:
        # Not kept in a name: the payload must be gone before the next tensors come.
        products, weight = unpack(open_blob(envelope.header, blob, recipient), shapes)
    for name, tensor in products.items():
        farthest = max(tensor.max(initial=0.0), -tensor.min(initial=0.0))
        if farthest > MAX_STEP * weight[group_of(name)]:
            raise Refused("implausible", f"The update moves {name} by more than {MAX_STEP:g}.")
    return products, weight


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
    velocity = {name: momentum.get(name, np.zeros_like(base[name])) for name in base}
    weights = dict(base)
    for name, change in delta.items():
        velocity[name] = np.float32(decay) * velocity[name] + change
        weights[name] = base[name] + velocity[name]
    return weights, velocity
