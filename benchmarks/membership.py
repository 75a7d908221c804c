"""What an attacker finds out about a silo's compounds, with and without noise.

`python -m benchmarks.membership --data FOLDER [--out FOLDER] [--json PATH] [--models 16] [--quick]`
runs LiRA (`benchmarks.lira`) against the weights that one silo's training gives away, on the
network that a draft gets by default and public measurements. Each model learns from a drawn half of
the compounds; the attacker knows the half-open world and the recipe, and asks whether a compound
was in. Intervals are over the attacked models. With noise a silo trains as
`config_templates/plan_noise.toml` says, from fresh weights and from a public start.

A plan's round trains for fewer epochs than these: what is measured here is what the aggregator has
who reads a single silo's update at the end. Sums and releases: `benchmarks.attacks`.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from agent.wire.network import Weights
from benchmarks.lira import Doubles, Found, halves, lira
from benchmarks.noisy import Noise
from benchmarks.privacy import NETWORK, fresh, noisy, plain, said
from benchmarks.public_start import EPOCHS, Measured, begun, read
from benchmarks.report import Row, mean, save, show

Train = Callable[[Measured, int], Weights]
_POOL = 4_000  # of which each model learns half
_MOST_AUC = 0.55


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
    members = halves(models, len(pool), 7)
    trained = [train(pool.take(np.flatnonzero(m)), n) for n, m in enumerate(members)]
    scores = np.stack([sureness(one, pool) for one in trained])
    return _rows(name, lira(scores, members, scores), must)


def _rows(name: str, found: Found, must: float) -> list[Row]:
    demanded = f"≤ {must:g}" if must < 1 else ""
    met = mean(found.areas) <= must if must < 1 else None
    areas, shares = found.areas, found.shares
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
    everything, public = read(given.data, given.out, 400 if given.quick else 0)
    pool = everything.take(np.arange(min(_POOL, len(everything))))
    half, rows = f"{len(pool) // 2:,} compounds", []
    starts = {"fresh weights": fresh(1), "a public start": begun(public, NETWORK, 1)}
    for origin, start in starts.items():
        what = f"{half} from {origin}"
        train: Train = partial(_plain, start, EPOCHS)
        rows += rows_of(f"{what}, no noise, {EPOCHS} epochs", pool, given.models, train)
        for epsilon in (8.0, 3.0):
            train = partial(_noisy, start, Noise(epsilon))
            rows += rows_of(f"{what}, epsilon {epsilon:g}", pool, given.models, train, _MOST_AUC)
    show(rows, Console(width=160))
    if given.json:
        save(rows, given.json)


def _plain(start: Weights, epochs: int, data: Measured, seed: int) -> Weights:
    return plain(data, start, seed, epochs)


def _noisy(start: Weights, noise: Noise, data: Measured, seed: int) -> Weights:
    return noisy(data, start, seed, noise)


if __name__ == "__main__":
    main()
