"""M1: was this compound in the training set? LiRA, against an update, a sum and a release.

Carlini et al. 2022 (arXiv:2112.03570), the online attack with pooled variances (their section VI.C)
on the signed residual: many models are trained on random halves; each in turn is the target, and
the others tell what residual a compound has where it was learned from and where it was not.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from agent.learning.metrics import auroc
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
    masked,
    parted,
)

Flags = npt.NDArray[np.bool_]
_CANDIDATES = 5  # times a silo's compounds
_CLIP = 0.25
_RARE = 0.01


def halves(models: int, compounds: int, seed: int) -> Flags:
    """Returns who learned from what, bool (models, compounds): each compound is in half of them.

    A target leaves its compounds one shadow less on its own side than on the other, which lowers
    the AUC by some .03 where there is nothing to find.
    """
    chance = np.random.default_rng(seed)
    order = np.argsort(chance.random((models, compounds)), axis=0)
    found: Flags = order < models // 2
    return found


def ratios(residuals: Doubles, inside: Flags, target: int) -> Doubles:
    """Scores each compound: the log ratio of having been learned from to not.

    Args:
        residuals: (models, compounds).
        inside: Likewise.
        target: The model that is attacked; the others are the shadows.
    """
    others = np.arange(len(residuals)) != target
    score = np.zeros(residuals.shape[1])
    for there, sign in ((inside, 1.0), (~inside, -1.0)):
        used = there & others[:, None]
        mean = (residuals * used).sum(axis=0) / np.maximum(used.sum(axis=0), 1)
        variance = (((residuals - mean) ** 2) * used).sum() / used.sum() + 1e-9
        off = (residuals[target] - mean) ** 2
        # A mean of few shadows is uncertain itself; without this, members would score lower.
        spread = variance * (1 + 1 / np.maximum(used.sum(axis=0), 1))
        score += sign * (-off / (2 * spread) - np.log(spread) / 2)
    return score


def judged(residuals: Doubles, inside: Flags) -> dict[str, list[float]]:
    """Returns what the attack reaches at each model as target: AUC, rare-error rate, plain loss."""
    found: dict[str, list[float]] = {"AUC": [], "TPR at 1 % FPR": [], "AUC by loss alone": []}
    for target in range(len(residuals)):
        score, truth = ratios(residuals, inside, target), inside[target]
        limit = np.quantile(score[~truth], 1 - _RARE)
        found["AUC"].append(auroc(score, truth.astype(np.float64)))
        found["TPR at 1 % FPR"].append(float((score[truth] > limit).mean()))
        found["AUC by loss alone"].append(
            auroc(-np.abs(residuals[target]), truth.astype(np.float64))
        )
    return found


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
    first, last = [], []
    for at, own in enumerate(inside):
        history = list(federated(world, scale, parted(rows[own], scale.silos), at))
        first.append(history[0])
        last.append(history[-1])
    size = int(inside[0].sum()) // scale.silos
    what = f"{scale.silos} silos of {size}"
    yield from _rows(f"{what}, the sum of a round", judged(_residuals(world, first, rows), inside))
    name = f"{what}, the release after {scale.rounds} rounds"
    yield from _rows(name, judged(_residuals(world, last, rows), inside))


def federated(world: World, scale: Scale, silos: Sequence[Ints], seed: int) -> Iterator[Weights]:
    """Yields the shared weights after each round of plain averaging."""
    weights = world.start()
    for number in range(scale.rounds):
        each = [
            world.trained(
                weights, own, epochs_of(len(own), scale), 1_000 * seed + 10 * number + place
            )
            for place, own in enumerate(silos)
        ]
        total = added(each)
        weights = {name: (tensor / len(each)).astype(np.float32) for name, tensor in total.items()}
        yield weights


def epochs_of(compounds: int, scale: Scale) -> int:
    """Returns how often a silo passes over its compounds in a round, as the default recipe does."""
    if scale.seeds == 1:
        return 1
    recipe = FederatedRecipe()
    return max(recipe.local_epochs, round(recipe.local_rows / compounds))
