"""FedAdam, the aggregator's adaptive step (Reddi et al. 2021, arXiv:2003.00295, algorithm 2).

Pure numpy, like plain server momentum: the aggregator and a simulation take the same step. The
mean update stands for the gradient: m = b1 m + (1 - b1) d, v = b2 v + (1 - b2) d^2, and the weights
move by rate * m / (sqrt(v) + tau). As in the paper, neither moment is corrected for its start.
"""

import numpy as np

from agent.wire.documents import Recipe
from agent.wire.update import Shapes, Weights

SECOND_DECAY = 0.99  # b2 of the paper's experiments
TAU = 1e-3  # the least root of v: what never moves must not be blown up
_FIRST, _SECOND = "first/", "second/"


def state_shapes(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Returns the tensors of the state by name, for shared tensors of these shapes."""
    return {part + name: shape for part in (_FIRST, _SECOND) for name, shape in shapes.items()}


def adam_step(
    base: Weights, delta: Weights, state: Weights, recipe: Recipe
) -> tuple[Weights, Weights]:
    """Moves the weights by the mean delta; a tensor that nobody trained keeps weight and state.

    Args:
        base: The round's base weights.
        delta: Mean delta by tensor; tensors may be missing.
        state: As returned after the round before, or nothing in the first round.
        recipe: With `server_momentum` (b1) and `server_rate`.

    Returns:
        The new weights and the new state, both of every tensor.
    """
    decay, rate = np.float32(recipe.server_momentum), np.float32(recipe.server_rate)
    weights = dict(base)
    after = {
        part + name: state.get(part + name, np.zeros_like(base[name]))
        for part in (_FIRST, _SECOND)
        for name in base
    }
    for name, change in delta.items():
        first = decay * after[_FIRST + name] + (1 - decay) * change
        second = after[_SECOND + name] * np.float32(SECOND_DECAY)
        second += np.float32(1 - SECOND_DECAY) * change * change
        weights[name] = base[name] + rate * first / (np.sqrt(second) + np.float32(TAU))
        after[_FIRST + name], after[_SECOND + name] = first, second
    return weights, after
