"""The network as the wire sees it: names and shapes of its tensors, and where they start.

Numpy only: the aggregator makes a plan's first weights and checks updates without torch.

Tensors, all float32, with h the widths of the hidden layers and d the number of descriptors:
`trunk.counts.weight` (hash_size, h0) and `trunk.dense.weight` (h0, d), `.bias` (h0,) make the
first layer; `trunk.I.linear.weight` (hI, hI-1), `.bias` (hI,) the later ones, from I = 1; every
layer has `trunk.I.norm.weight`, `.bias` (hI,) from I = 0; a task has `head.TASK.weight` (1, last h)
and `head.TASK.bias` (1,). Where a plan has several networks, `agent.wire.members` says whose they
are.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.wire.documents import FeatureSpec, NetworkSpec
from agent.wire.members import as_member, bare, member_of_round
from agent.wire.update import Weights as Weights
from agent.wire.update import check_tensors

TRUNK = "trunk."
HEAD = "head."
LAYER_NORM_EPSILON = 1e-5  # torch's default; training and the exported graph must share it
# A column that no training molecule sets keeps its first weights, which are noise in every later
# prediction: so they start small. 0.15, one over the root of the columns that a drug sets, was
# 0.01 to 0.025 worse in relative error on two public sets; 0.015 was no better.
_COUNTS_DEVIATION = 0.05
_PIECE = 1 << 18  # numbers drawn at once
# No training comes near: weights start below 1, and norms keep every layer's state near 1.
LARGEST_WEIGHT = 1e4
LARGEST_RMS = 1e2


def expected_shapes(
    network: NetworkSpec, features: FeatureSpec, heads: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every member's tensors by name, trunk first, then the heads as given.

    Raises:
        Refused: `no_hidden_layer`, or `duplicate_head`.
    """
    if not network.hidden:
        raise Refused("no_hidden_layer", "The network has no hidden layer; give it one or more.")
    if len(set(heads)) != len(heads):
        raise Refused("duplicate_head", "A head is named twice; name every task once.")
    one = _trunk_shapes(network.hidden, features.hash_size, len(features.descriptors))
    for task in heads:
        one[f"{HEAD}{task}.weight"] = (1, network.hidden[-1])
        one[f"{HEAD}{task}.bias"] = (1,)
    every = (as_member(one, member) for member in range(network.members))
    return {name: shape for shapes in every for name, shape in shapes.items()}


def round_shapes(
    network: NetworkSpec, features: FeatureSpec, heads: Sequence[str], number: int
) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of what a round trains: one member's tensors, under the member's names.

    Raises:
        Refused: As `expected_shapes`.
    """
    one = expected_shapes(network.single(), features, heads)
    return as_member(one, member_of_round(number, network.members))


def _trunk_shapes(
    hidden: tuple[int, ...], hash_size: int, descriptors: int
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        f"{TRUNK}counts.weight": (hash_size, hidden[0]),
        f"{TRUNK}dense.weight": (hidden[0], descriptors),
        f"{TRUNK}dense.bias": (hidden[0],),
    }
    for layer, width in enumerate(hidden):
        if layer:
            shapes[f"{TRUNK}{layer}.linear.weight"] = (width, hidden[layer - 1])
            shapes[f"{TRUNK}{layer}.linear.bias"] = (width,)
        shapes[f"{TRUNK}{layer}.norm.weight"] = (width,)
        shapes[f"{TRUNK}{layer}.norm.bias"] = (width,)
    return shapes


def initial_weights(network: NetworkSpec, features: FeatureSpec, heads: Sequence[str]) -> Weights:
    """Returns the weights that a plan starts from; equal for equal arguments, everywhere.

    Each tensor is drawn from its own stream, seeded with the plan's seed and the tensor's name, so
    that a silo with other heads gets the same trunk, and each member another. Weights are uniform
    with variance 1 / fan-in (LeCun 1998, "Efficient BackProp", section 4.6), those of the counts
    with a standard deviation of 0.05; biases are 0 and norms are the identity.

    Raises:
        Refused: As `expected_shapes`.
    """
    shapes = expected_shapes(network, features, heads)
    return {name: _initial(network.seed, name, shape) for name, shape in shapes.items()}


def _initial(seed: int, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    if name.endswith(".bias"):
        return np.zeros(shape, dtype=np.float32)
    if bare(name).startswith(TRUNK) and name.endswith(".norm.weight"):
        return np.ones(shape, dtype=np.float32)
    # Square roots and the four operations only: IEEE 754 rounds these alike on every machine.
    sparse = bare(name) == f"{TRUNK}counts.weight"
    deviation = _COUNTS_DEVIATION if sparse else 1.0 / math.sqrt(max(shape[-1], 1))
    weights = np.empty(math.prod(shape), dtype=np.float32)
    filled = 0
    for uniform in _uniform(seed, name, weights.size):
        drawn = 2.0 * uniform - 1.0
        weights[filled : filled + drawn.size] = math.sqrt(3.0) * deviation * drawn
        filled += drawn.size
    return weights.reshape(shape)


def _uniform(seed: int, name: str, size: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yields numbers in [0, 1) in pieces: a whole tensor of them would take many times its size."""
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    # The raw stream of a bit generator is promised to stay as it is in every release of numpy;
    # what `Generator` makes of it is not (NEP 19). The upper 53 bits fill a float64 in [0, 1).
    stream = np.random.PCG64(int.from_bytes(digest))
    for start in range(0, size, _PIECE):
        raw = stream.random_raw(min(_PIECE, size - start))
        yield (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def check_weights(
    weights: Mapping[str, npt.NDArray[np.float32]],
    network: NetworkSpec,
    features: FeatureSpec,
    heads: Sequence[str],
) -> None:
    """Checks that the weights are exactly those of this network, and finite.

    Raises:
        Refused: As `update.check_tensors` and `expected_shapes`.
    """
    check_tensors(weights, expected_shapes(network, features, heads))


def check_magnitudes(weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Checks that no tensor is absurdly large: over 10,000 somewhere, or over 100 on average.

    Such weights may be finite and still answer nonsense, or overflow on the next compound.

    Raises:
        Refused: `absurd_weights`.
    """
    for name, tensor in weights.items():
        largest = float(np.abs(tensor).max(initial=0.0))
        # float64, since the square of a large float32 is infinite.
        mean = math.sqrt(float((tensor.astype(np.float64) ** 2).mean())) if tensor.size else 0.0
        if largest > LARGEST_WEIGHT or mean > LARGEST_RMS:
            raise Refused(
                "absurd_weights",
                f"Tensor {name!r} holds numbers up to {largest:.3g}; none is as large after "
                "training.",
            )
