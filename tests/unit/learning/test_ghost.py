"""Each row's norm and the clipped sum against torch.func, and against Opacus, to 1e-5."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad

from agent.learning.batches import to_batch
from agent.learning.ghost import clipped_sum
from agent.learning.losses import Entries, Targets, label_losses
from agent.learning.network import SparseTrunk, Tape

if TYPE_CHECKING:
    from agent.learning.batches import Batch
    from agent.learning.tasks import Labels
    from tests.unit.learning.conftest import Problem

ROWS = np.arange(40)
CPU = torch.device("cpu")


def _case(problem: Problem) -> tuple[SparseTrunk, Batch, Entries]:
    network = problem.network.model_copy(update={"dropout": 0.0})
    model = SparseTrunk(network, problem.start(), [task.name for task in problem.tasks]).train()
    with torch.no_grad():  # norms and biases that are not the identity
        for tensor in model.tensors:
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)))
    targets = Targets.fixed(_with_sides(problem.labels), problem.tasks, len(problem.features))
    return model, to_batch(problem.features.take(ROWS), CPU, 256), targets.take(ROWS, CPU)


def _with_sides(labels: Labels) -> Labels:
    sides = np.zeros(len(labels), np.int8)
    sides[::7], sides[3::7] = -1, 1
    return type(labels)(labels.rows, labels.cols, labels.values, sides)


def _each_row(problem: Problem, model: SparseTrunk) -> list[dict[str, torch.Tensor]]:
    """Every row's own gradient, one at a time, by torch's own differentiation."""
    targets = Targets.fixed(_with_sides(problem.labels), problem.tasks, len(problem.features))
    parameters = {name: tensor.detach() for name, tensor in model.named_parameters()}
    found = []
    for row in ROWS:
        batch = to_batch(problem.features.take(np.array([row])), CPU)
        entries = targets.take(np.array([row]), CPU)

        def loss(
            tensors: dict[str, torch.Tensor],
            batch: Batch = batch,
            entries: Entries = entries,
        ) -> torch.Tensor:
            return label_losses(functional_call(model, tensors, (batch,)), entries).sum()

        own = grad(loss)(parameters)
        found.append(dict(zip(model.names, own.values(), strict=True)))
    return found


def _norm(gradients: dict[str, torch.Tensor]) -> float:
    return float(torch.cat([part.flatten() for part in gradients.values()]).norm())


@pytest.mark.parametrize("clip", [0.5, 1e9])
def test_the_clipped_sum_is_that_of_each_rows_own_gradient(problem: Problem, clip: float) -> None:
    model, batch, entries = _case(problem)
    each = _each_row(problem, model)
    found, norms = clipped_sum(model, batch, entries, clip)
    wanted = [_norm(one) for one in each]
    np.testing.assert_allclose(norms.numpy(), wanted, rtol=1e-5)
    assert set(found) == set(model.names)
    for name in model.names:
        parts = [
            g[name] * min(1.0, clip / max(n, 1e-12)) for g, n in zip(each, wanted, strict=True)
        ]
        torch.testing.assert_close(found[name], torch.stack(parts).sum(0), rtol=1e-5, atol=1e-5)


def _in_layers(model: SparseTrunk) -> torch.nn.Sequential:
    """The same network of torch's own layers, which is what Opacus can look into."""
    tensors = {name: tensor.detach() for name, tensor in model.by_name().items()}
    first = torch.cat([tensors["trunk.counts.weight"].T, tensors["trunk.dense.weight"]], dim=1)
    heads = [f"head.{task}" for task in model.heads]
    last = torch.cat([tensors[f"{head}.weight"] for head in heads])
    bias = torch.cat([tensors[f"{head}.bias"] for head in heads])
    layers: list[torch.nn.Module] = [_as_linear(first, tensors["trunk.dense.bias"])]
    for layer in model.layers:
        own = f"trunk.{layer}"
        if layer:
            layers.append(
                _as_linear(tensors[f"{own}.linear.weight"], tensors[f"{own}.linear.bias"])
            )
        norm = torch.nn.LayerNorm(tensors[f"{own}.norm.weight"].shape)
        norm.load_state_dict(
            {"weight": tensors[f"{own}.norm.weight"], "bias": tensors[f"{own}.norm.bias"]}
        )
        layers += [norm, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, _as_linear(last, bias))


def _as_linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


# Opacus hooks its layers in a way that torch warns of.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_each_norm_is_the_one_that_opacus_finds(problem: Problem) -> None:
    from opacus.grad_sample import GradSampleModule

    model, batch, entries = _case(problem)
    peer = GradSampleModule(_in_layers(model), loss_reduction="sum")
    rows = problem.features.take(ROWS)
    inputs = torch.from_numpy(np.concatenate([rows.counts, rows.dense], axis=1))
    label_losses(peer(inputs), entries).sum().backward()  # type: ignore[no-untyped-call]
    each = torch.cat([p.grad_sample.flatten(1) for p in peer.parameters()], dim=1)
    _, norms = clipped_sum(model, batch, entries, 1.0)
    np.testing.assert_allclose(norms.numpy(), each.norm(dim=1).numpy(), rtol=1e-5, atol=1e-6)


def test_a_tape_changes_nothing(problem: Problem) -> None:
    model, batch, _ = _case(problem)
    assert torch.equal(model(batch), model(batch, Tape()))


def test_no_row_weighs_more_than_the_clip(problem: Problem) -> None:
    model, batch, entries = _case(problem)
    found, norms = clipped_sum(model, batch, entries, 0.01)
    assert (norms > 0.01).any()
    assert _norm(found) <= 0.01 * len(ROWS) * (1 + 1e-5)


def test_counts_that_were_not_turned_are_a_fault_of_the_caller(problem: Problem) -> None:
    model, _, entries = _case(problem)
    batch = to_batch(problem.features.take(ROWS), CPU)
    with pytest.raises(ValueError, match="turned"):
        clipped_sum(model, batch, entries, 1.0)


def test_a_row_without_a_label_has_no_gradient(problem: Problem) -> None:
    model, batch, entries = _case(problem)
    own = (entries.cells // len(problem.tasks)) != 3
    rest = Entries(
        entries.cells[own],
        entries.values[own],
        entries.weights[own],
        (entries.limits[0][own], entries.limits[1][own]) if entries.limits else None,
        entries.deviations[own],
        entries.classes[own] if entries.classes is not None else None,
    )
    assert clipped_sum(model, batch, rest, 1.0)[1][3] == 0.0
