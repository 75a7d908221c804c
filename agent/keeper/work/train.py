"""Training for a round, and the model that this silo could make alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from agent.assays.endpoints import PRIVATE
from agent.boxes import read_object
from agent.errors import Refused
from agent.features.reference import reference_sha256
from agent.features.spec import spec_sha256
from agent.files import write_atomic
from agent.keeper.orders import (
    CHECKPOINT,
    MOMENTS,
    BaselineOrder,
    Report,
    Result,
    RoundOrder,
    Settings,
)
from agent.keeper.work.gradient import gradient_step
from agent.keeper.work.problem import Problem, load_problem
from agent.learning import train
from agent.learning.checkpoint import Checkpoint
from agent.learning.moments import Moments
from agent.learning.private import Terms, fit_private
from agent.learning.score import Score, predict, score_tasks
from agent.learning.tasks import Labels
from agent.wire.documents import LocalNoise, Plan, Recipe, SharedNoise
from agent.wire.members import as_member, bare, member_of_round, of_member, turn_of_round
from agent.wire.network import expected_shapes, initial_weights
from agent.wire.update import Weights, decode, decode_some, encode, group_of, pack

_MEMBER_SEED = 1_009  # a prime apart, so that no member has the seed of a round


@dataclass(frozen=True, slots=True)
class Job:
    """What all trainings of one job share.

    Attributes:
        plan: With network and recipe.
        site: What the host allows.
        folder: Of the job; its checkpoint outlives a worker.
        report: Told how far it is.
    """

    plan: Plan
    site: Settings
    folder: Path
    report: Report


def baseline(order: BaselineOrder, folder: Path, report: Report) -> Result:
    """Trains on this silo's data alone for as many epochs as a federated model sees, and scores it.

    Raises:
        Refused: As `load_problem` and `learning.train.fit`.
    """
    problem, plan = load_problem(order), order.plan
    heads = [task.name for task in problem.tasks]
    start = initial_weights(plan.network.single(), plan.features, heads)
    epochs = plan.recipe.rounds * plan.recipe.local_epochs + plan.recipe.finetune_epochs
    settings = fit_settings(plan, order.settings, epochs, seed=0)
    job, stage = Job(plan, order.settings, folder, report), "training the local-only model"
    weights = _fit(start, problem, problem.train, settings, job, stage).weights
    return Result(scores=problem.score_table(held_out_scores(weights, problem, plan)))


def train_round(order: RoundOrder, folder: Path, report: Report) -> Result:
    """Trains from the round's base weights and packs what changed.

    Raises:
        Refused: As `boxes.read_object`, `load_problem`, `learning.train.fit` and
            `wire.update.decode`.
    """
    problem, plan, manifest = load_problem(order), order.plan, order.manifest
    number, members = manifest.number, plan.network.members
    member = member_of_round(number, members)
    shapes = expected_shapes(plan.network, plan.features, plan.endpoints)
    content = read_object(Path(order.base), manifest.base_sha256, manifest.base_bytes)
    base = of_member(decode(content, shapes), member)
    older, _ = problem.split(plan.recipe.held_back)
    if isinstance(plan.privacy, SharedNoise):
        settings = fit_settings(plan, order.settings, 1, seed=number)
        step = gradient_step(base, problem, older, plan, plan.privacy, settings)
        return _write_update(folder, as_member(step, member), older, problem, plan, member)
    terms = _terms(order)
    # With noise nothing of this silo's goes in but the labels: what earlier rounds left, perhaps
    # without noise, would carry out what was not paid for.
    resting = (
        order if terms is None else order.model_copy(update={"private_weights": "", "moments": ""})
    )
    private = private_heads(problem, plan, resting.private_weights)
    start = {**base, **of_member(private, member)}
    settings = fit_settings(plan, order.settings, plan.recipe.local_epochs, seed=number)
    turn, turns = turn_of_round(number, plan.recipe.rounds, members)
    window = (turn / turns, min((turn + 1) / turns, 1.0))
    settings = replace(settings, window=window, proximal=plan.recipe.proximal)
    job, stage = Job(plan, order.settings, folder, report), f"training for round {number}"
    kept = _kept_moments(resting)
    moments = _moments(kept, member, start)
    fit = _fit if terms is None else partial(_fit_private, terms)
    fitted = fit(start, problem, older, settings, job, stage, moments)
    trained = fitted.weights
    if plan.recipe.keep_moments:
        kept |= as_member(fitted.moments.to_tensors(), member)
        write_atomic(folder / MOMENTS, encode(kept), mode=0o600)
    own = {name: value for name, value in trained.items() if name.startswith(f"head.{PRIVATE}")}
    if own:
        write_atomic(folder / "private.safetensors", encode(private | as_member(own, member)))
    delta = as_member({name: trained[name] - base[name] for name in base}, member)
    return _write_update(folder, delta, older, problem, plan, member)


def _write_update(
    folder: Path, delta: Weights, learned: Labels, problem: Problem, plan: Plan, member: int
) -> Result:
    weight = as_member(_weights(learned, problem, plan.recipe), member)
    content = pack(delta, weight, plan.recipe.weight_cap)
    write_atomic(folder / "update.safetensors", content, mode=0o600)
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
    labels: Labels,
    job: Job,
    member: int,
    training: Literal["member", "choice"] = "member",
) -> Weights:
    """Returns a copy of a release fitted to this silo's labels.

    Args:
        weights: Of one network of the release, with this silo's private heads.
        problem: With the features and tasks.
        labels: What to fit to.
        job: What its trainings share.
        member: Which copy, from 0: each has a seed of its own.
        training: What for: to serve, or to be compared with the release.

    Raises:
        Refused: As `learning.train.fit`.
    """
    recipe = job.plan.recipe
    seed = member * _MEMBER_SEED
    settings = fit_settings(job.plan, job.site, recipe.finetune_epochs, seed)
    settings = replace(settings, learning_rate=recipe.finetune_rate * recipe.learning_rate)
    stage = f"fitting personal model {member + 1}"
    if training == "choice":
        stage = "comparing personal and federated"
    own = f"{training}-{member}"
    return _fit(weights, problem, labels, settings, job, stage, training=own).weights


def private_heads(problem: Problem, plan: Plan, path: str) -> Weights:
    """Returns every member's private heads: as the last round left them, or fresh ones.

    Raises:
        Refused: `damaged_private_heads`.
    """
    names = [task.name for task in problem.tasks if task.name.startswith(PRIVATE)]
    fresh = initial_weights(plan.network, plan.features, names)
    own = {name: value for name, value in fresh.items() if not bare(name).startswith("trunk.")}
    if not path or not own:
        return own
    try:
        return decode(Path(path).read_bytes(), {name: value.shape for name, value in own.items()})
    except Refused:  # other private endpoints than last time, or another network: start anew
        return own


def held_out_scores(weights: Weights, problem: Problem, plan: Plan) -> Mapping[str, Score]:
    """Scores one network's weights on the held-out fold."""
    predictions = predict(weights, plan.network.single(), problem.features, problem.tasks)
    return score_tasks(predictions, problem.held_out, problem.tasks)


def _kept_moments(order: RoundOrder) -> Weights:
    """Returns every member's optimizer as rounds left it; what is damaged starts anew."""
    if not order.plan.recipe.keep_moments or not order.moments:
        return {}
    try:
        return decode_some(Path(order.moments).read_bytes())
    except (OSError, Refused):
        return {}


def _moments(kept: Weights, member: int, start: Weights) -> train.Moments | None:
    own = of_member(kept, member)
    try:
        return Moments.from_tensors(own, start) if own else None
    except Refused:
        return None


def _fit(  # noqa: PLR0913  (as `train.fit`)
    weights: Weights,
    problem: Problem,
    labels: Labels,
    settings: train.Settings,
    job: Job,
    stage: str,
    moments: Moments | None = None,
    training: str = "",
) -> train.Fitted:
    return train.fit_on(
        weights,
        job.plan.network.single(),
        problem.features,
        labels,
        problem.tasks,
        settings,
        lambda done, total, _loss: job.report(stage, done, total),
        moments=moments,
        checkpoint=Checkpoint(job.folder / CHECKPOINT / training),
    )


def _terms(order: RoundOrder) -> Terms | None:
    asked, recipe = order.plan.privacy, order.plan.recipe
    if not isinstance(asked, LocalNoise):
        return None
    steps = asked.steps(recipe)
    return Terms(order.noise, asked.clip, asked.sampling_rate, steps, recipe.batch_size)


def _fit_private(  # noqa: PLR0913  (as `_fit`)
    terms: Terms,
    weights: Weights,
    problem: Problem,
    labels: Labels,
    settings: train.Settings,
    job: Job,
    stage: str,
    moments: Moments | None = None,
) -> train.Fitted:
    return fit_private(
        weights,
        job.plan.network.single(),
        problem.features,
        labels,
        problem.tasks,
        settings,
        terms,
        lambda done, total, _loss: job.report(stage, done, total),
        moments=moments,
    )


def _weights(learned: Labels, problem: Problem, recipe: Recipe) -> dict[str, float]:
    """Returns how much each shared group counts in the aggregate, by the plan's rule."""
    weight = {"trunk": _weight(len(np.unique(learned.rows)), recipe)}
    counts = np.bincount(learned.cols, minlength=len(problem.tasks))
    for task, count in zip(problem.tasks, counts.tolist(), strict=True):
        if count and not task.name.startswith(PRIVATE):
            weight[group_of(f"head.{task.name}.bias")] = _weight(count, recipe)
    return weight


def _weight(count: int, recipe: Recipe) -> float:
    match recipe.weighting:
        case "uniform":
            return 1.0
        case "sqrt_n":
            return math.sqrt(count)
        case "n":
            return float(count)
