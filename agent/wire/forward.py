"""What a network answers, in plain numpy: the statement that every other implementation must meet.

Training has it in torch and serving in ONNX. The aggregator has neither; it says with this one
what a release must answer for the golden molecules.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.wire.documents import NetworkSpec
from agent.wire.network import HEAD, LAYER_NORM_EPSILON, TRUNK
from agent.wire.update import Weights

Doubles = npt.NDArray[np.float64]


def forward(
    weights: Weights, network: NetworkSpec, counts: Doubles, dense: Doubles, heads: Sequence[str]
) -> Doubles:
    """Returns the heads' raw answers, float64 (n, heads): before an endpoint's scale.

    Args:
        weights: Checked tensors of the trunk and of these heads.
        network: What they belong to.
        counts: float64 (n, hash_size), log1p counts.
        dense: float64 (n, d), scaled descriptors.
        heads: The columns of the answer.
    """
    state = counts @ _double(weights, f"{TRUNK}counts.weight")
    state = state + _linear(weights, f"{TRUNK}dense", dense)
    for layer in range(len(network.hidden)):
        if layer:
            state = _linear(weights, f"{TRUNK}{layer}.linear", state)
        state = np.maximum(_norm(weights, f"{TRUNK}{layer}.norm", state), 0.0)
    return np.concatenate([_linear(weights, f"{HEAD}{head}", state) for head in heads], axis=1)


def _linear(weights: Weights, name: str, state: Doubles) -> Doubles:
    return state @ _double(weights, f"{name}.weight").T + _double(weights, f"{name}.bias")


def _norm(weights: Weights, name: str, state: Doubles) -> Doubles:
    centred = state - state.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=1, keepdims=True) + LAYER_NORM_EPSILON)
    scaled: Doubles = centred / spread * _double(weights, f"{name}.weight")
    return scaled + _double(weights, f"{name}.bias")


def _double(weights: Weights, name: str) -> Doubles:
    return weights[name].astype(np.float64)
