"""The trunk and its heads in torch; its tensors go by the wire's names (`agent.wire.network`)."""

from collections.abc import Sequence

import torch
from torch import nn

from agent.errors import Refused
from agent.learning.batches import Batch
from agent.wire.documents import NetworkSpec
from agent.wire.network import HEAD, LAYER_NORM_EPSILON, TRUNK, Weights


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
        self.dropout = nn.Dropout(network.dropout)
        # torch forbids dots in a parameter's name, so the wire's names are kept beside.
        self.names = tuple(_needed(len(self.layers), self.heads))
        self.tensors = nn.ParameterList(
            [nn.Parameter(torch.from_numpy(weights[name].copy())) for name in self.names]
        )

    def by_name(self) -> dict[str, nn.Parameter]:
        """Returns the parameters under their names on the wire."""
        return dict(zip(self.names, self.tensors, strict=True))

    def to_weights(self) -> Weights:
        """Returns copies of all tensors, float32, under their names on the wire."""
        named = self.by_name().items()
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in named}

    def forward(self, batch: Batch) -> torch.Tensor:
        """Returns float32 (n, tasks): scaled values, and logits for classes."""
        tensors = self.by_name()
        state = self._first_layer(batch, tensors)
        for layer in self.layers:
            prefix = f"{TRUNK}{layer}"
            if layer:
                linear = f"{prefix}.linear"
                state = nn.functional.linear(
                    state, tensors[f"{linear}.weight"], tensors[f"{linear}.bias"]
                )
            norm, bias = tensors[f"{prefix}.norm.weight"], tensors[f"{prefix}.norm.bias"]
            state = nn.functional.layer_norm(state, norm.shape, norm, bias, LAYER_NORM_EPSILON)
            state = self.dropout(nn.functional.relu(state))
        weights = torch.cat([tensors[f"{HEAD}{task}.weight"] for task in self.heads])
        biases = torch.cat([tensors[f"{HEAD}{task}.bias"] for task in self.heads])
        return nn.functional.linear(state, weights, biases)

    def _first_layer(self, batch: Batch, tensors: dict[str, nn.Parameter]) -> torch.Tensor:
        counts = nn.functional.embedding_bag(
            batch.indices,
            tensors[f"{TRUNK}counts.weight"],
            batch.offsets,
            mode="sum",
            per_sample_weights=batch.values,
        )
        dense = nn.functional.linear(
            batch.dense, tensors[f"{TRUNK}dense.weight"], tensors[f"{TRUNK}dense.bias"]
        )
        return counts + dense


def _needed(layers: int, heads: Sequence[str]) -> list[str]:
    names = [f"{TRUNK}counts.weight", f"{TRUNK}dense.weight", f"{TRUNK}dense.bias"]
    for layer in range(layers):
        parts = ["linear", "norm"] if layer else ["norm"]
        names += [f"{TRUNK}{layer}.{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    return names + [f"{HEAD}{task}.{kind}" for task in heads for kind in ("weight", "bias")]
