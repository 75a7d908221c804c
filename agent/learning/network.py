"""The trunk and its heads in torch; its tensors go by the wire's names (`agent.wire.network`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.autograd.function import FunctionCtx

from agent.errors import Refused
from agent.learning.batches import Bags, Batch
from agent.wire.documents import NetworkSpec
from agent.wire.network import HEAD, LAYER_NORM_EPSILON, TRUNK, Weights

Apply = Callable[[torch.Tensor, Bags, Bags], torch.Tensor]


class Dropout(nn.Module):
    """Dropout whose random numbers start anew at every step, so that none need be kept.

    On a CPU the masks are made of numpy's raw bits, in a tenth of the time that torch takes.
    """

    def __init__(self, rate: float) -> None:
        """Takes the part of the numbers that is set to zero, in [0, 1)."""
        super().__init__()
        self._rate = rate
        self._bits = np.random.SFC64(0)

    def reseed(self, seed: int) -> None:
        """Starts the random numbers anew."""
        self._bits = np.random.SFC64(seed)
        if torch.cuda.is_available():
            torch.cuda.manual_seed(seed)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """Returns the state, some of it zero and the rest scaled up while training."""
        if not (self.training and self._rate):
            return state
        if state.device.type != "cpu":
            return nn.functional.dropout(state, self._rate)
        drawn = self._bits.random_raw((state.numel() + 3) // 4).view(np.uint16)
        kept = drawn[: state.numel()] >= round(self._rate * 2**16)
        mask = torch.from_numpy(kept).reshape(state.shape).to(state.dtype)
        return state * mask.div_(1 - self._rate)


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """What a forward pass came by, for whoever needs each row's own gradient (`learning.ghost`).

    Each layer's inputs and its outputs, which are still part of the graph, by its name on the wire;
    a norm's inputs are normalized already. The heads stand together under `HEAD`. The first layer,
    whose inputs are the batch, is under `TRUNK`.
    """

    linear: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    norms: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


class SparseTrunk(nn.Module):
    """Sparse counts and dense descriptors, hidden layers, one linear output a task.

    A layer is Linear, LayerNorm, ReLU, dropout. The first one sums the rows of its weight that
    belong to a molecule's counts, so that its cost follows the counts and not the hash size.
    """

    def __init__(self, network: NetworkSpec, weights: Weights, heads: Sequence[str]) -> None:
        """Builds the modules around copies of checked weights.

        Args:
            network: Widths and dropout.
            weights: Every tensor of the trunk and of the heads; `check_weights` has passed.
            heads: The tasks, in the order of the outputs.

        Raises:
            Refused: `no_head`.
        """
        super().__init__()
        if not heads:
            raise Refused("no_head", "A network without a head predicts nothing; name a task.")
        self.layers = range(len(network.hidden))
        self.heads = tuple(heads)
        self.dropout = Dropout(network.dropout)
        # torch forbids dots in a parameter's name, so the wire's names are kept beside.
        self.names = tuple(_needed(len(self.layers), self.heads))
        self.tensors = nn.ParameterList(
            [nn.Parameter(torch.from_numpy(weights[name].copy())) for name in self.names]
        )

    def by_name(self) -> dict[str, nn.Parameter]:
        """Returns the parameters under their names on the wire."""
        return dict(zip(self.names, self.tensors, strict=True))

    @property
    def hash_size(self) -> int:
        """The number of columns of the counts."""
        return len(self.tensors[0])

    def to_weights(self) -> Weights:
        """Returns copies of all tensors, float32, under their names on the wire."""
        named = self.by_name().items()
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in named}

    def forward(self, batch: Batch, tape: Tape | None = None) -> torch.Tensor:
        """Returns float32 (n, tasks): scaled values, and logits for classes."""
        tensors = self.by_name()
        state = self._first_layer(batch, tensors)
        if tape is not None:
            tape.linear[TRUNK] = (batch.dense, state)
        for layer in self.layers:
            prefix = f"{TRUNK}{layer}"
            if layer:
                linear = f"{prefix}.linear"
                state = _linear(
                    linear, state, tensors[f"{linear}.weight"], tensors[f"{linear}.bias"], tape
                )
            norm, bias = tensors[f"{prefix}.norm.weight"], tensors[f"{prefix}.norm.bias"]
            state = _norm(f"{prefix}.norm", state, norm, bias, tape)
            state = self.dropout(nn.functional.relu(state))
        weights = torch.cat([tensors[f"{HEAD}{task}.weight"] for task in self.heads])
        biases = torch.cat([tensors[f"{HEAD}{task}.bias"] for task in self.heads])
        return _linear(HEAD, state, weights, biases, tape)

    def _first_layer(self, batch: Batch, tensors: dict[str, nn.Parameter]) -> torch.Tensor:
        weight = tensors[f"{TRUNK}counts.weight"]
        counts = (
            _bag_sum(weight, batch.counts)
            if batch.turned is None
            else cast("Apply", _BagSum.apply)(weight, batch.counts, batch.turned)
        )
        dense = nn.functional.linear(
            batch.dense, tensors[f"{TRUNK}dense.weight"], tensors[f"{TRUNK}dense.bias"]
        )
        return counts + dense


def _linear(
    name: str, state: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, tape: Tape | None
) -> torch.Tensor:
    result = nn.functional.linear(state, weight, bias)
    if tape is not None:
        tape.linear[name] = (state.detach(), result)
    return result


def _norm(
    name: str, state: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, tape: Tape | None
) -> torch.Tensor:
    result = nn.functional.layer_norm(state, weight.shape, weight, bias, LAYER_NORM_EPSILON)
    if tape is not None:
        bare = nn.functional.layer_norm(state.detach(), weight.shape, eps=LAYER_NORM_EPSILON)
        tape.norms[name] = (bare, result)
    return result


def _bag_sum(weight: torch.Tensor, bags: Bags) -> torch.Tensor:
    return nn.functional.embedding_bag(
        bags.indices, weight, bags.offsets, mode="sum", per_sample_weights=bags.values
    )


class _BagSum(torch.autograd.Function):
    """Counts times weight, whose gradient is the turned counts times the gradient of the sum.

    torch's own backward pass of an embedding bag takes five times as long on a CPU, and adds up in
    no fixed order on CUDA.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, weight: torch.Tensor, counts: Bags, turned: Bags) -> torch.Tensor:
        """Returns the sums, and keeps the turned counts."""
        ctx.turned = turned  # type: ignore[attr-defined]  # how torch's manual does it
        return _bag_sum(weight, counts)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Returns the weight's gradient."""
        turned: Bags = ctx.turned  # type: ignore[attr-defined]
        return _bag_sum(gradient.contiguous(), turned), None, None


def _needed(layers: int, heads: Sequence[str]) -> list[str]:
    names = [f"{TRUNK}counts.weight", f"{TRUNK}dense.weight", f"{TRUNK}dense.bias"]
    for layer in range(layers):
        parts = ["linear", "norm"] if layer else ["norm"]
        names += [f"{TRUNK}{layer}.{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    return names + [f"{HEAD}{task}.{kind}" for task in heads for kind in ("weight", "bias")]
