"""What an attacker finds out about a silo's compounds, with and without noise.

`python -m benchmarks.membership --data FOLDER [--out FOLDER] [--json PATH] [--models 16] [--quick]`
runs LiRA (Carlini et al. 2022, arXiv:2112.03570), the strongest membership attack known, against
the weights that one silo's training gives away, on the network that a draft gets by default and
public measurements. Each model learns from a drawn half of the compounds; each is attacked once,
with all the others as shadows: the attacker knows the half-open world and the recipe, and asks
whether a compound was in. Intervals are over the attacked models.

A plan's round trains for fewer epochs than these, and a release sums several silos: what is
measured here is what the aggregator has who reads a single silo's update at the end. Against a
release nothing is measured here.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from agent.learning.metrics import auroc
from agent.wire.network import Weights
from benchmarks.privacy import fresh, noisy, plain, said
from benchmarks.public_start import Measured, read
from benchmarks.report import Row, mean, save, show

Doubles = npt.NDArray[np.float64]
Train = Callable[[Measured, Weights, int], Weights]
_POOL = 4_000  # of which each model learns half
_LEAST_SPREAD = 1e-3
_FEW_ALARMS = 0.01
_MOST_AUC = 0.55


def lira(scores: Doubles, members: npt.NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Attacks each model with the others as shadows, but for the one of the other half.

    Without that one every compound is in just half of the shadows: their number must not tell.

    Args:
        scores: (models, compounds); higher where a model is surer of the truth.
        members: Which compounds each model learned from, likewise; models 2i and 2i + 1 learned
            from a half and from its complement.

    Returns:
        For each model the area under the curve, and the share of members that are found where one
        in a hundred others is taken for one.
    """
    found = []
    for target in range(len(scores)):
        others = np.arange(len(scores)) // 2 != target // 2
        inside = np.where(members[others], scores[others], np.nan)
        outside = np.where(members[others], np.nan, scores[others])
        evidence = _log_density(scores[target], inside) - _log_density(scores[target], outside)
        found.append(_judged(evidence, members[target]))
    return found


def _log_density(score: Doubles, shadows: Doubles) -> Doubles:
    """Returns the logarithm of a normal density whose spread is that of all compounds together.

    With few shadows one compound's own spread is too rough (Carlini, section VI-C).
    """
    centre = np.nanmean(shadows, axis=0)
    spread = max(float(np.nanstd(shadows - centre)), _LEAST_SPREAD)
    density: Doubles = -(((score - centre) / spread) ** 2) / 2 - np.log(spread)
    return density


def _judged(evidence: Doubles, member: npt.NDArray[np.bool_]) -> tuple[float, float]:
    limit = np.quantile(evidence[~member], 1 - _FEW_ALARMS)
    area = auroc(evidence.astype(np.float32), member.astype(np.float32))
    return area, float((evidence[member] > limit).mean())


def sureness(weights: Weights, pool: Measured) -> Doubles:
    """Returns how sure a model is of each compound's truth: both heads' losses, as logits are.

    The class's logit on the side of the truth, less the value's squared residual in spreads.
    """
    chance = said(weights, pool).astype(np.float64)
    right = np.where(pool.high(), chance[:, 1], 1 - chance[:, 1]).clip(1e-6, 1 - 1e-6)
    off = (chance[:, 0] - pool.values) / 0.5
    score: Doubles = np.log(right / (1 - right)) - np.abs(off)
    return score


def rows_of(name: str, pool: Measured, models: int, train: Train, must: float = 1.0) -> list[Row]:
    """Trains models on drawn halves, and attacks each of them."""
    draws = np.random.default_rng(7)
    halves = [draws.permutation(len(pool)) < len(pool) // 2 for _ in range(models // 2)]
    # Each half with its complement, so that every compound is in half of the models.
    members = np.stack([side for half in halves for side in (half, ~half)])
    start = fresh(1)
    trained = [train(pool.take(np.flatnonzero(m)), start, n) for n, m in enumerate(members)]
    scores = np.stack([sureness(one, pool) for one in trained])
    found = lira(scores, members)
    return [*_rows(name, found, must)]


def _rows(name: str, found: Sequence[tuple[float, float]], must: float) -> list[Row]:
    areas, shares = [one[0] for one in found], [one[1] for one in found]
    demanded = f"≤ {must:g}" if must < 1 else ""
    met = mean(areas) <= must if must < 1 else None
    return [
        Row(f"LiRA, {name}: AUC", mean(areas), "", must=demanded, met=met, runs=areas),
        Row(f"LiRA, {name}: members found at 1 % false alarms", mean(shares), "", runs=shares),
    ]


def main() -> None:
    """Measures, prints and saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/privacy"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    everything, _ = read(given.data, given.out, 400 if given.quick else 0)
    pool = everything.take(np.arange(min(_POOL, len(everything))))
    half = f"{len(pool) // 2:,} compounds"
    rows = rows_of(f"{half}, no noise, 20 epochs", pool, given.models, plain)
    rows += rows_of(
        f"{half}, no noise, 5 epochs", pool, given.models, lambda d, s, n: plain(d, s, n, 5)
    )
    for epsilon in (8.0, 3.0):
        name = f"{half}, epsilon {epsilon:g}"

        def train(data: Measured, start: Weights, seed: int, at: float = epsilon) -> Weights:
            return noisy(data, start, seed, at)

        rows += rows_of(name, pool, given.models, train, _MOST_AUC)
    show(rows, Console())
    if given.json:
        save(rows, given.json)


if __name__ == "__main__":
    main()
