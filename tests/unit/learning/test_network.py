from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from agent.errors import Refused, Stop
from agent.learning.batches import pick_device, to_batch
from agent.learning.network import Dropout, SparseTrunk
from agent.wire.network import LAYER_NORM_EPSILON, check_weights

if TYPE_CHECKING:
    from agent.wire.network import Weights
    from tests.unit.learning.conftest import Problem

_CPU = torch.device("cpu")


def _by_hand(
    problem: Problem, weights: Weights
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    state = problem.features.counts @ weights["trunk.counts.weight"].astype(float)
    state += problem.features.dense @ weights["trunk.dense.weight"].T + weights["trunk.dense.bias"]
    for layer in (0, 1):
        if layer:
            state = state @ weights["trunk.1.linear.weight"].T + weights["trunk.1.linear.bias"]
        centred = state - state.mean(axis=1, keepdims=True)
        normed = centred / np.sqrt(state.var(axis=1, keepdims=True) + LAYER_NORM_EPSILON)
        state = normed * weights[f"trunk.{layer}.norm.weight"] + weights[f"trunk.{layer}.norm.bias"]
        state = state.clip(min=0)
    columns = [
        state @ weights[f"head.{task.name}.weight"][0] + weights[f"head.{task.name}.bias"]
        for task in problem.tasks
    ]
    return np.stack(columns, axis=1)


def _noisy(problem: Problem) -> Weights:
    # Biases and norms start at 0 and 1, where a wrong place for them would not show.
    random = np.random.default_rng(0)
    return {
        name: tensor + random.normal(0, 0.2, tensor.shape).astype(np.float32)
        for name, tensor in problem.start().items()
    }


def test_the_network_computes_what_its_documentation_says(problem: Problem) -> None:
    weights = _noisy(problem)
    model = SparseTrunk(problem.network, weights, [task.name for task in problem.tasks]).eval()
    with torch.inference_mode():
        outputs = model(to_batch(problem.features, _CPU)).numpy()
    assert outputs == pytest.approx(_by_hand(problem, weights), abs=1e-4)


def test_weights_come_out_as_they_went_in_under_the_names_of_the_wire(problem: Problem) -> None:
    names = [task.name for task in problem.tasks]
    weights = _noisy(problem)
    returned = SparseTrunk(problem.network, weights, names).to_weights()
    check_weights(returned, problem.network, problem.spec, names)
    assert all(np.array_equal(returned[name], weights[name]) for name in weights)


def test_the_network_owns_copies(problem: Problem) -> None:
    weights = problem.start()
    model = SparseTrunk(problem.network, weights, ["class"])
    weights["head.class.bias"][:] = 9
    assert model.to_weights()["head.class.bias"][0] == 0


def test_a_network_without_heads_is_refused(problem: Problem) -> None:
    with pytest.raises(Refused, match="no_head"):
        SparseTrunk(problem.network, problem.start(), [])


def test_the_turned_counts_give_the_gradient_of_the_embedding_bag(problem: Problem) -> None:
    names = [task.name for task in problem.tasks]
    gradients = []
    for hash_size in (0, 256):
        model = SparseTrunk(problem.network, _noisy(problem), names).eval()
        outputs = model(to_batch(problem.features, _CPU, hash_size))
        (outputs**2).sum().backward()
        gradient = model.by_name()["trunk.counts.weight"].grad
        assert gradient is not None
        gradients.append(gradient.numpy())
    assert gradients[1] == pytest.approx(gradients[0], rel=1e-4, abs=1e-3)
    assert abs(gradients[0]).max() > 1


def test_dropout_keeps_the_mean_and_follows_its_seed() -> None:
    dropout, ones = Dropout(0.2).train(), torch.ones(200, 501)
    dropout.reseed(4)
    first = dropout(ones)
    assert float((first == 0).float().mean()) == pytest.approx(0.2, abs=0.01)
    assert float(first.mean()) == pytest.approx(1.0, abs=0.01)
    assert not torch.equal(dropout(ones), first)
    dropout.reseed(4)
    assert torch.equal(dropout(ones), first)
    assert dropout.eval()(ones) is ones
    assert Dropout(0.0).train()(ones) is ones


def test_the_cpu_is_always_there() -> None:
    assert pick_device("cpu") == _CPU
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_asking_for_a_gpu_that_is_not_there_says_what_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Stop, match="set the device to auto"):
        pick_device("cuda")
