"""One step under shared noise: a clipped sum times the plan's rate, of the shared heads alone."""

from typing import TYPE_CHECKING

import numpy as np

from agent.keeper.work.gradient import gradient_step
from agent.keeper.work.problem import load_problem
from agent.learning.settings import Settings
from agent.wire.documents import MaskRules, SharedNoise
from agent.wire.network import expected_shapes, initial_weights
from tests.kit.consortium import FEATURES

if TYPE_CHECKING:
    from agent.learning.tasks import Labels
    from agent.wire.network import Weights
    from tests.unit.keeper.work.conftest import Bench

_SETTINGS = Settings(epochs=1, learning_rate=1e-2, device="cpu", threads=1)
_ASKED = SharedNoise(
    masking=MaskRules(), epsilon=8.0, delta=1e-5, noise=1.0, clip=0.5, sampling_rate=1.0
)


def test_private_heads_take_no_part_and_the_rate_is_the_plans(bench: "Bench") -> None:
    order = bench.round_order(bench.frozen())
    problem = load_problem(order)
    recipe = order.plan.recipe.model_copy(update={"batch_size": 50, "learning_rate": 0.1})
    network = order.plan.network.model_copy(update={"dropout": 0.0})
    plan = order.plan.model_copy(update={"recipe": recipe, "network": network})
    base = initial_weights(network, FEATURES, plan.endpoints)

    def stepped(labels: "Labels", batch_size: int = 50) -> "Weights":
        own = recipe.model_copy(update={"batch_size": batch_size})
        asked = plan.model_copy(update={"recipe": own})
        return gradient_step(base, problem, labels, asked, _ASKED, _SETTINGS)

    private = problem.tasks.index(
        next(task for task in problem.tasks if task.name == "private:own")
    )
    labels = problem.train
    assert (labels.cols == private).any()
    whole = stepped(labels)
    shared = stepped(labels.select(labels.cols != private))
    slower = stepped(labels, 100)
    assert whole.keys() == expected_shapes(network, FEATURES, plan.endpoints).keys()
    assert whole["trunk.dense.bias"].any()
    for name, tensor in whole.items():
        np.testing.assert_array_equal(tensor, shared[name])
        np.testing.assert_allclose(slower[name], tensor / 2, rtol=1e-6)
    compounds = len(set(labels.rows[labels.cols != private].tolist()))
    norm = sum(float((one.astype(float) ** 2).sum()) for one in whole.values()) ** 0.5
    assert 0 < norm <= compounds * _ASKED.clip * 0.1 / 50 * (1 + 1e-6)
