"""The sum of each row's clipped gradient, without any row's gradient ever being made.

A row's gradient of a linear layer is the outer product of what came in and of the gradient of what
went out, so its norm is the product of two norms (Goodfellow 2015, arXiv:1510.01799), and the
clipped sum is one product of matrices with the rows scaled (Bu et al. 2023, arXiv:2210.00038): one
forward and one backward pass, as without clipping. It needs a network in which no row's answer
depends on another row, as in `SparseTrunk`, and counts whose columns are distinct within a row.
"""

from collections.abc import Iterator

import torch

from agent.learning.batches import Bags, Batch
from agent.learning.losses import Entries, label_losses
from agent.learning.network import SparseTrunk, Tape
from agent.wire.network import HEAD, TRUNK

Gradients = dict[str, torch.Tensor]
_LEAST_NORM = 1e-12  # a row that is learned already has no gradient to divide by


def clipped_sum(
    model: SparseTrunk, batch: Batch, entries: Entries, clip: float
) -> tuple[Gradients, torch.Tensor]:
    """Returns the sum over the rows of their gradients, each clipped to a norm over all tensors.

    A row's loss is the sum over its labels, whatever the other rows have.

    Args:
        model: In training; every tensor of it counts, whether it is trained or not.
        batch: With `turned` counts.
        entries: The rows' labels.
        clip: The most that any row's gradient may come to.

    Returns:
        The sum by the tensors' names, and each row's norm before clipping, float32 (n,).
    """
    tape, loss = _forward(model, batch, entries)
    names = [*tape.linear, *tape.norms]
    outputs = [output for _, output in (*tape.linear.values(), *tape.norms.values())]
    flowing = dict(zip(names, torch.autograd.grad(loss, outputs), strict=True))
    with torch.no_grad():
        squares = sum(_squares(tape, batch, flowing), torch.zeros_like(batch.dense[:, :1]).sum(1))
        norms = squares.sqrt()
        scale = (clip / norms.clamp(min=_LEAST_NORM)).clamp(max=1.0)[:, None]
        scaled = {name: gradient * scale for name, gradient in flowing.items()}
        return dict(_sums(model, tape, batch, scaled)), norms


def _forward(model: SparseTrunk, batch: Batch, entries: Entries) -> tuple[Tape, torch.Tensor]:
    tape = Tape()
    outputs = model(batch, tape)
    return tape, label_losses(outputs, entries).sum()


def _squares(tape: Tape, batch: Batch, flowing: Gradients) -> Iterator[torch.Tensor]:
    """Yields each layer's share of the squared norms; a bias counts as an input that is one."""
    for name, (inputs, _) in tape.linear.items():
        own = inputs.square().sum(1) + 1
        if name == TRUNK:
            own = own + _count_squares(batch.counts)
        yield own * flowing[name].square().sum(1)
    for name, (inputs, _) in tape.norms.items():
        yield ((inputs * flowing[name]).square() + flowing[name].square()).sum(1)


def _count_squares(counts: Bags) -> torch.Tensor:
    ends = torch.cat([counts.offsets[1:], counts.offsets.new_tensor([len(counts.values)])])
    return torch.segment_reduce(
        counts.values.square(), "sum", lengths=ends - counts.offsets, unsafe=True, initial=0
    )


def _sums(
    model: SparseTrunk, tape: Tape, batch: Batch, scaled: Gradients
) -> Iterator[tuple[str, torch.Tensor]]:
    if batch.turned is None:
        raise ValueError("a batch to train on has its counts turned, too")
    yield f"{TRUNK}counts.weight", _turned_sum(scaled[TRUNK], batch.turned)
    for name, (inputs, _) in tape.linear.items():
        weight, bias = scaled[name].T @ inputs, scaled[name].sum(0)
        if name == HEAD:
            for place, task in enumerate(model.heads):
                yield f"{HEAD}{task}.weight", weight[place : place + 1]
                yield f"{HEAD}{task}.bias", bias[place : place + 1]
        else:
            own = f"{TRUNK}dense" if name == TRUNK else name
            yield f"{own}.weight", weight
            yield f"{own}.bias", bias
    for name, (inputs, _) in tape.norms.items():
        yield f"{name}.weight", (inputs * scaled[name]).sum(0)
        yield f"{name}.bias", scaled[name].sum(0)


def _turned_sum(gradient: torch.Tensor, turned: Bags) -> torch.Tensor:
    return torch.nn.functional.embedding_bag(
        turned.indices, gradient, turned.offsets, mode="sum", per_sample_weights=turned.values
    )
