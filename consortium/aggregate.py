"""The aggregation step: the only place where envelopes are opened, and only in memory.

The arithmetic is in `agent.wire.averaging`; envelopes are added in the silos' order, so the same
envelopes always give the same bytes.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from agent.errors import Refused
from agent.wire.averaging import Sums
from agent.wire.documents import Recipe
from agent.wire.envelope import Header, Unsealer, open_blob
from agent.wire.members import bare
from agent.wire.network import HEAD
from agent.wire.robust import Given, combine
from agent.wire.update import Array, Shapes, Weights, group_of, unpack

# Bounds of one silo's step, whatever weight it claims: past them it is a fault or an attack. Adam
# (Kingma and Ba 2015, section 2.1) moves a weight by about the learning rate a batch, so 10 is 5000
# batches straight on at 0.002, while the weights themselves are of order one. Only the bias of a
# head has far to go: to its endpoint's own level, which may be 100 percent.
MAX_STEP = 100.0
MAX_MEAN_STEP = 10.0
_PIECE = 1 << 18


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


def aggregate(
    envelopes: Iterable[Sealed], recipient: Unsealer, shapes: Shapes, recipe: Recipe
) -> Aggregate:
    """Opens envelopes one at a time and averages them; a bad one is left out.

    In memory at once: the sums, two updates' size, and one update with a few chunks of its blob:
    under four updates' size at the peak (`benchmarks.protocol`). A rule other than the mean needs
    every update at once: it holds all of them.

    Args:
        envelopes: In the silos' order.
        recipient: The round's sealing key.
        shapes: Every shared tensor and its shape.
        recipe: Says how much a silo may count.
    """
    sums, kept = Sums(), list[Given]()
    counted: list[str] = []
    refused: dict[str, str] = {}
    for envelope in envelopes:
        try:
            products, weight = _open(envelope, recipient, shapes, recipe)
        except Refused as refusal:
            refused[envelope.envelope_id] = refusal.reason
            continue
        if recipe.aggregate == "mean":
            sums.add(products, weight)
        else:
            kept.append((products, weight))
        del products  # views of the payload, which must be gone before the next one comes
        counted.append(envelope.envelope_id)
    delta = sums.mean() if recipe.aggregate == "mean" else combine(kept, recipe.aggregate)
    return Aggregate(delta, tuple(counted), refused)


def _open(
    envelope: Sealed, recipient: Unsealer, shapes: Shapes, recipe: Recipe
) -> tuple[Weights, dict[str, float]]:
    with envelope.open() as blob:
        products, weight = unpack(
            open_blob(envelope.header, blob, recipient), shapes, recipe.weight_cap
        )
    check_update(products, weight, recipe)
    return products, weight


def check_update(products: Weights, weight: Mapping[str, float], recipe: Recipe) -> None:
    """Checks what a silo could use to own the model: its weights and how far it steps.

    Args:
        products: w * delta by tensor.
        weight: w by group, each within the recipe's cap.
        recipe: With `uniform` weighting every weight is exactly 1.

    Raises:
        Refused: `bad_weight`, or `implausible`.
    """
    if recipe.weighting == "uniform" and any(value != 1.0 for value in weight.values()):
        raise Refused("bad_weight", "Every silo counts alike in this plan; the weight must be 1.")
    for name, tensor in products.items():
        own = weight[group_of(name)]
        if max(tensor.max(initial=0.0), -tensor.min(initial=0.0)) > MAX_STEP * own:
            raise Refused("implausible", f"The update moves {name} by more than {MAX_STEP:g}.")
        if _is_level(name) or not tensor.size:
            continue
        if _mean_size(tensor) > MAX_MEAN_STEP * own:
            raise Refused(
                "implausible", f"The update moves {name} by more than {MAX_MEAN_STEP:g} on average."
            )


def _mean_size(tensor: Array) -> float:
    """Returns the mean of the absolute values, in pieces: one tensor may be most of the model."""
    flat = tensor.ravel()
    pieces = (flat[at : at + _PIECE] for at in range(0, flat.size, _PIECE))
    return float(sum(np.abs(piece).sum(dtype=np.float64) for piece in pieces)) / flat.size


def _is_level(name: str) -> bool:
    return bare(name).startswith(HEAD) and name.endswith(".bias")
