"""A round under shared noise: one sampled sum of clipped gradients, as a change of the weights.

What is written here has no noise yet. It stays on the host, mode 0600, until the round's key set
says with whom this silo shares its noise; masking adds it (`agent.wire.masking.sharing`).
"""

from dataclasses import replace

import numpy as np

from agent.assays.endpoints import PRIVATE
from agent.keeper.work.problem import Problem
from agent.learning.private import sampled_gradient
from agent.learning.settings import Settings
from agent.learning.tasks import Labels
from agent.wire.documents import Plan, SharedNoise
from agent.wire.network import HEAD, TRUNK, Weights


def gradient_step(
    base: Weights,
    problem: Problem,
    labels: Labels,
    plan: Plan,
    asked: SharedNoise,
    settings: Settings,
) -> Weights:
    """Returns by how much one sampled step of gradient descent changes the shared weights.

    Args:
        base: One member's weights.
        problem: With the features and tasks.
        labels: What to learn from; those of private heads take no part, for they would use up a
            compound's clip and leave nothing behind.
        plan: Whose round it is.
        asked: The plan's noise, which silos share.
        settings: As the plan and the site have them.

    Raises:
        Refused: As `learning.private.sampled_gradient`.
    """
    shared = [i for i, task in enumerate(problem.tasks) if not task.name.startswith(PRIVATE)]
    tasks = [problem.tasks[column] for column in shared]
    own = labels.select(np.isin(labels.cols, shared))
    total = sampled_gradient(
        _needed(base, {task.name for task in tasks}),
        plan.network.single(),
        problem.features,
        replace(own, cols=np.searchsorted(shared, own.cols)),
        tasks,
        settings,
        (asked.sampling_rate, asked.clip),
    )
    rate = np.float32(-plan.recipe.learning_rate / plan.recipe.batch_size)
    return {
        name: rate * total[name] if name in total else np.zeros_like(tensor)
        for name, tensor in base.items()
    }


def _needed(base: Weights, heads: set[str]) -> Weights:
    return {
        name: tensor
        for name, tensor in base.items()
        if name.startswith(TRUNK) or name.removeprefix(HEAD).rpartition(".")[0] in heads
    }
