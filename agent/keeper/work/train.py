"""Training for a round, and the model that this silo could make alone."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.assays.endpoints import PRIVATE
from agent.boxes import read_object
from agent.errors import Refused
from agent.features.reference import reference_sha256
from agent.features.spec import spec_sha256
from agent.files import write_atomic
from agent.keeper.orders import CHECKPOINT, BaselineOrder, Report, Result, RoundOrder, Settings
from agent.keeper.work.problem import Problem, load_problem
from agent.learning import train
from agent.learning.checkpoint import Checkpoint
from agent.learning.score import Score, predict, score_tasks
from agent.wire.documents import Plan, Recipe
from agent.wire.network import expected_shapes, initial_weights
from agent.wire.update import Weights, decode, encode, group_of, pack


def baseline(order: BaselineOrder, folder: Path, report: Report) -> Result:
    """Trains on this silo's data alone for as many epochs as a federated model sees, and scores it.

    Raises:
        Refused: As `load_problem` and `learning.train.fit`.
    """
    problem, plan = load_problem(order), order.plan
    heads = [task.name for task in problem.tasks]
    start = initial_weights(plan.network, plan.features, heads)
    epochs = plan.recipe.rounds * plan.recipe.local_epochs + plan.recipe.finetune_epochs
    settings = fit_settings(plan, order.settings, epochs, seed=0)
    weights = _fit(start, problem, plan, settings, folder, report, "training the local-only model")
    return Result(scores=problem.score_table(held_out_scores(weights, problem, plan)))


def train_round(order: RoundOrder, folder: Path, report: Report) -> Result:
    """Trains from the round's base weights and packs what changed.

    Raises:
        Refused: As `boxes.read_object`, `load_problem`, `learning.train.fit` and
            `wire.update.decode`.
    """
    problem, plan, manifest = load_problem(order), order.plan, order.manifest
    number = manifest.number
    shapes = expected_shapes(plan.network, plan.features, plan.endpoints)
    content = read_object(Path(order.base), manifest.base_sha256, manifest.base_bytes)
    base = decode(content, shapes)
    start = {**base, **private_heads(problem, plan, order.private_weights)}
    rounds = plan.recipe.rounds
    settings = fit_settings(plan, order.settings, plan.recipe.local_epochs, seed=number)
    settings = replace(settings, window=((number - 1) / rounds, min(number / rounds, 1.0)))
    trained = _fit(start, problem, plan, settings, folder, report, f"training for round {number}")
    delta = {name: trained[name] - base[name] for name in shapes}
    weight = _weights(problem, plan.recipe)
    write_atomic(folder / "update.safetensors", pack(delta, weight, plan.recipe.weight_cap))
    own = {name: value for name, value in trained.items() if name.startswith(f"head.{PRIVATE}")}
    if own:
        write_atomic(folder / "private.safetensors", encode(own))
    return Result(
        groups=tuple(sorted(weight)),
        reference_sha256=reference_sha256(plan.features),
        feature_sha256=spec_sha256(plan.features),
    )


def fit_settings(plan: Plan, site: Settings, epochs: int, seed: int) -> train.Settings:
    """Joins what the plan's recipe says with what the site allows."""
    return train.Settings(
        epochs=epochs,
        batch_size=plan.recipe.batch_size,
        learning_rate=plan.recipe.learning_rate,
        weight_decay=plan.recipe.weight_decay,
        seed=plan.network.seed + seed,
        threads=site.threads,
        device=site.device,
    )


def finetune(
    weights: Weights,
    problem: Problem,
    plan: Plan,
    site: Settings,
    folder: Path,
    report: Report,
) -> Weights:
    """Returns the personal model: between a release and its copy fitted to this silo's labels.

    Raises:
        Refused: As `learning.train.fit`.
    """
    recipe = plan.recipe
    if not recipe.finetune_epochs:
        return weights
    settings = fit_settings(plan, site, recipe.finetune_epochs, seed=0)
    settings = replace(settings, learning_rate=recipe.finetune_rate * recipe.learning_rate)
    fitted = _fit(weights, problem, plan, settings, folder, report, "fitting the personal model")
    share = np.float32(recipe.personal_share)
    return {name: weights[name] + share * (fitted[name] - weights[name]) for name in fitted}


def private_heads(problem: Problem, plan: Plan, path: str) -> Weights:
    """Returns the private heads: as the last round left them, or fresh ones.

    Raises:
        Refused: `damaged_private_heads`.
    """
    names = [task.name for task in problem.tasks if task.name.startswith(PRIVATE)]
    fresh = initial_weights(plan.network, plan.features, names)
    own = {name: value for name, value in fresh.items() if not name.startswith("trunk.")}
    if not path or not own:
        return own
    try:
        return decode(Path(path).read_bytes(), {name: value.shape for name, value in own.items()})
    except Refused:  # other private endpoints than last time, or another network: start anew
        return own


def held_out_scores(weights: Weights, problem: Problem, plan: Plan) -> Mapping[str, Score]:
    """Scores weights on the held-out fold."""
    predictions = predict(weights, plan.network, problem.features, problem.tasks)
    return score_tasks(predictions, problem.held_out, problem.tasks)


def _fit(  # noqa: PLR0913  (as `train.fit`)
    weights: Weights,
    problem: Problem,
    plan: Plan,
    settings: train.Settings,
    folder: Path,
    report: Report,
    stage: str,
) -> Weights:
    return train.fit(
        weights,
        plan.network,
        problem.features,
        problem.train,
        problem.tasks,
        settings,
        lambda done, total, _loss: report(stage, done, total),
        checkpoint=Checkpoint(folder / CHECKPOINT),
    )


def _weights(problem: Problem, recipe: Recipe) -> dict[str, float]:
    """Returns how much each shared group counts in the aggregate, by the plan's rule."""
    counts = problem.train_counts()
    weight = {"trunk": _weight(len(np.unique(problem.train.rows)), recipe)}
    for task, count in counts.items():
        if not task.startswith(PRIVATE):
            weight[group_of(f"head.{task}.bias")] = _weight(count, recipe)
    return weight


def _weight(count: int, recipe: Recipe) -> float:
    match recipe.weighting:
        case "uniform":
            return 1.0
        case "sqrt_n":
            return math.sqrt(count)
        case "n":
            return float(count)
