"""M1: was this compound in the training set? LiRA, against an update, a sum and a release.

The attack (`benchmarks.lira`) looks at the signed residual. Noise is that of a plan's template
(`benchmarks.noisy`), with every compound in every step: silos are small here.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from agent.learning.recipes import FederatedRecipe, LocalRecipe
from agent.wire.network import Weights
from benchmarks.attack_world import (
    Doubles,
    Ints,
    Scale,
    World,
    added,
    clipped,
    delta,
    error,
    masked,
    parted,
)
from benchmarks.lira import Flags, halves, lira
from benchmarks.noisy import RECIPE, Noise

_CANDIDATES = 5  # times a silo's compounds
_CLIP = 0.25
_EPSILON = 8.0


def judged(residuals: Doubles, inside: Flags) -> dict[str, list[float]]:
    """Returns what the attack reaches at each model as target: AUC, rare-error rate, plain loss."""
    found = lira(residuals, inside, -np.abs(residuals))
    return {
        "AUC": found.areas,
        "TPR at 1 % FPR": found.shares,
        "AUC by loss alone": found.plain,
    }


def _rows(what: str, found: dict[str, list[float]]) -> Iterator[tuple[str, list[float]]]:
    for figure, runs in found.items():
        yield f"M1 LiRA, {what}: {figure}", runs


def members(world: World, scale: Scale) -> Iterator[tuple[str, list[float]]]:
    """Attacks one silo's model and update, and then a release of several silos."""
    rows = np.sort(world.draw(_CANDIDATES * scale.compounds, 1))
    inside = halves(scale.shadows, len(rows), 2)
    yield from _one_silo(world, scale, rows, inside)
    yield from _release(world, scale, rows, inside)


def _residuals(world: World, weights: Sequence[Weights], rows: Ints) -> Doubles:
    return np.stack([world.said(one, rows) - world.values[rows] for one in weights])


def _moved(base: Weights, update: Weights) -> Weights:
    return {name: base[name] + update[name] for name in base}


def _one_silo(
    world: World, scale: Scale, rows: Ints, inside: Flags
) -> Iterator[tuple[str, list[float]]]:
    base, long = world.start(), LocalRecipe().epochs if scale.seeds > 1 else 1
    size = int(inside[0].sum())
    brief = max(1, round(FederatedRecipe().local_rows / size)) if scale.seeds > 1 else 1
    kept = [world.trained(base, rows[own], long, 50 + at) for at, own in enumerate(inside)]
    what = f"one silo of {size}"
    yield from _rows(f"{what}, {long} epochs", judged(_residuals(world, kept, rows), inside))
    updates = [
        delta(world.trained(base, rows[own], brief, 90 + at), base) for at, own in enumerate(inside)
    ]
    for name, seen in (
        ("update of a round, no defence", updates),
        (f"update of a round, clipped at {_CLIP:g}", [clipped(one, _CLIP) for one in updates]),
        ("update of a round, the vector under masks", [masked(one, 5) for one in updates]),
    ):
        found = judged(_residuals(world, [_moved(base, one) for one in seen], rows), inside)
        yield from _rows(f"{what}, {name} ({brief} epochs)", found)


def _release(
    world: World, scale: Scale, rows: Ints, inside: Flags
) -> Iterator[tuple[str, list[float]]]:
    rounds, steps = (RECIPE.rounds, RECIPE.local_epochs) if scale.seeds > 1 else (1, 1)
    others = np.setdiff1d(np.arange(len(world.features)), rows)
    what = f"{scale.silos} silos of {int(inside[0].sum()) // scale.silos}"
    for noise in (None, Noise(_EPSILON, rounds, steps, rate=1.0)):
        first, last = [], []
        for at, own in enumerate(inside):
            history = list(federated(world, scale, parted(rows[own], scale.silos), at, noise))
            first.append(history[0])
            last.append(history[-1])
        with_noise = "no noise" if noise is None else f"each with epsilon {noise.epsilon:g}"
        for name, seen in (
            ("the sum of a round", first),
            (f"the release after {rounds_of(scale, noise)} rounds", last),
        ):
            found = judged(_residuals(world, seen, rows), inside)
            yield from _rows(f"{what}, {with_noise}, {name}", found)
        errors = [error(world, one, others) for one in last]
        yield f"M1 error of that release on other compounds, {with_noise}", errors


def federated(
    world: World, scale: Scale, silos: Sequence[Ints], seed: int, noise: Noise | None = None
) -> Iterator[Weights]:
    """Yields the shared weights after each round of plain averaging."""
    weights = world.start()
    for number in range(rounds_of(scale, noise)):
        seeds = [1_000 * seed + 10 * number + place for place in range(len(silos))]
        each = [
            world.trained(weights, own, epochs_of(len(own), scale), one)
            if noise is None
            else world.noisy(weights, own, noise, number, one)
            for own, one in zip(silos, seeds, strict=True)
        ]
        total = added(each)
        weights = {name: (tensor / len(each)).astype(np.float32) for name, tensor in total.items()}
        yield weights


def rounds_of(scale: Scale, noise: Noise | None) -> int:
    """Returns how many rounds there are: with noise as the plan says, since they share epsilon."""
    return scale.rounds if noise is None else noise.rounds


def epochs_of(compounds: int, scale: Scale) -> int:
    """Returns how often a silo passes over its compounds in a round, as the default recipe does."""
    if scale.seeds == 1:
        return 1
    recipe = FederatedRecipe()
    return max(recipe.local_epochs, round(recipe.local_rows / compounds))
