"""AdamW, and its memory: what a silo keeps between rounds, and a checkpoint between steps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from agent.errors import Refused
from agent.learning.network import SparseTrunk
from agent.learning.settings import Settings
from agent.wire.network import Weights
from agent.wire.update import check_tensors

_FIRST, _SECOND, _STEPS = "first/", "second/", "steps/"


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """AdamW's running means of the gradients (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Attributes:
        first: Of the gradient, by tensor.
        second: Of its square.
        steps: How many steps are in them.
    """

    first: Weights
    second: Weights
    steps: Mapping[str, int]

    def to_tensors(self) -> Weights:
        """Returns everything as tensors that `wire.update.encode` writes."""
        tensors = {_FIRST + name: tensor for name, tensor in self.first.items()}
        tensors |= {_SECOND + name: tensor for name, tensor in self.second.items()}
        # float32, as torch keeps it: exact up to 16 million steps.
        return tensors | {
            _STEPS + name: np.array([steps], np.float32) for name, steps in self.steps.items()
        }

    @classmethod
    def from_tensors(cls, tensors: Weights, weights: Weights) -> "Moments":
        """Reads what `to_tensors` made, for the tensors that are among `weights`.

        Raises:
            Refused: `wrong_tensors` or `not_finite`: these are no moments, or of other shapes.
        """
        names = [name for name in weights if _FIRST + name in tensors]
        shapes = {part + name: weights[name].shape for part in (_FIRST, _SECOND) for name in names}
        shapes |= {_STEPS + name: (1,) for name in names}
        chosen = {name: tensors[name] for name in shapes if name in tensors}
        check_tensors(chosen, shapes)
        return cls(
            {name: chosen[_FIRST + name] for name in names},
            {name: chosen[_SECOND + name] for name in names},
            {name: int(chosen[_STEPS + name][0]) for name in names},
        )


def make_optimizer(
    model: SparseTrunk, settings: Settings, moments: Moments | None
) -> torch.optim.AdamW:
    """Builds AdamW over the tensors that are to be trained.

    Args:
        model: On its device; what is not to be trained stops asking for gradients.
        settings: With the decay, and which tensors.
        moments: What to go on from; a tensor that is not in them, or has another shape, starts
            anew.

    Raises:
        Refused: `nothing_to_train`.
    """
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
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    if moments is not None:
        _set_moments(optimizer, model, moments)
    return optimizer


def _set_moments(optimizer: torch.optim.AdamW, model: SparseTrunk, moments: Moments) -> None:
    for name, tensor in model.by_name().items():
        fits = name in moments.first and moments.first[name].shape == tuple(tensor.shape)
        if tensor.requires_grad and fits:
            place = tensor.device
            optimizer.state[tensor] = {
                "step": torch.tensor(float(moments.steps[name]), device=place),
                "exp_avg": torch.from_numpy(moments.first[name].copy()).to(place),
                "exp_avg_sq": torch.from_numpy(moments.second[name].copy()).to(place),
            }


def moments_of(optimizer: torch.optim.AdamW, model: SparseTrunk) -> Moments:
    """Returns copies of the optimizer's moments, by the tensors' names on the wire."""
    first: Weights = {}
    second: Weights = {}
    steps: dict[str, int] = {}
    for name, tensor in model.by_name().items():
        if state := optimizer.state.get(tensor):
            first[name] = state["exp_avg"].cpu().numpy().copy()
            second[name] = state["exp_avg_sq"].cpu().numpy().copy()
            steps[name] = int(state["step"])
    return Moments(first, second, steps)
