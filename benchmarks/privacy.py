"""What differential privacy costs: time, and error at epsilon 8, 3 and 1.

`python -m benchmarks.privacy --data FOLDER [--out FOLDER] [--json PATH] [--seeds 3] [--quick]`
trains the network that a draft gets by default on logD of PharmaBench, all of it public: without
noise, and with it as `config_templates/plan_noise.toml` says, from fresh weights and from a start
on the other public sets (no structure of the silo's, nor of the exam, is among theirs).
`--choose` judges on the compounds that are neither the silo's nor the exam's: what the recipe was
chosen on. `--quick` uses a few compounds; its figures mean nothing.
"""

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from agent.learning.metrics import auroc
from agent.learning.private import Terms, fit_private
from agent.learning.score import predict
from agent.learning.settings import Settings
from agent.learning.train import fit
from agent.wire.network import Weights, initial_weights
from benchmarks.noisy import DRAFT, RECIPE, Noise
from benchmarks.public_sets import Known
from benchmarks.public_start import EPOCHS, SPEC, TASKS, Measured, begun, read
from benchmarks.report import Row, mean, median, save, show

NETWORK = DRAFT.network
_MOST_TIMES, _MOST_LOSS = 2.5, 0.04
_SIZES = (1_000, 3_000, 10_000)
_EXAM, _OWN = 2_000, 10_000


def fresh(seed: int) -> Weights:
    """Returns the weights that a plan with this seed starts from."""
    network = NETWORK.model_copy(update={"seed": seed})
    return initial_weights(network, SPEC, [task.name for task in TASKS])


def plain(data: Measured, start: Weights, seed: int, epochs: int = EPOCHS) -> Weights:
    """Trains without noise."""
    settings = Settings(epochs=epochs, batch_size=128, seed=seed, threads=1, device="cpu")
    return fit(start, NETWORK, data.features, data.labels(), TASKS, settings, lambda *_: None)


def noisy(data: Measured, start: Weights, seed: int, noise: Noise) -> Weights:
    """Trains through all rounds of a plan with noise, as the only silo."""
    weights = start
    for number in range(noise.rounds):
        weights = noisy_round(data, weights, noise, number, seed)
    return weights


def noisy_round(data: Measured, base: Weights, noise: Noise, number: int, seed: int) -> Weights:
    """Trains for one round, counted from 0."""
    settings, terms = noise.settings(number, seed), noise.terms()
    return fit_private(
        base, NETWORK, data.features, data.labels(), TASKS, settings, terms, lambda *_: None
    ).weights


def said(weights: Weights, exam: Measured) -> npt.NDArray[np.float32]:
    """Returns what a model says, (n, 2)."""
    return predict(weights, NETWORK, exam.features, TASKS)


def auc(weights: Weights, exam: Measured) -> float:
    """Returns the area under the curve of the class."""
    return auroc(said(weights, exam)[:, 1], exam.high().astype(np.float32))


def error(weights: Weights, exam: Measured) -> float:
    """Returns the mean absolute error of logD."""
    return float(np.abs(said(weights, exam)[:, 0] - exam.values).mean())


def cost_row(data: Measured, lot: int, repeats: int = 5) -> Row:
    """Times both trainings on lots of one size, for as many steps."""
    settings = Settings(epochs=1, batch_size=lot, threads=1, device="cpu")
    rate = min(lot / len(data), 1.0)
    terms = Terms(1.0, 1.0, rate, max(math.ceil(len(data) / lot), 1), lot)
    with_noise, without = [], []
    for number in range(repeats + 1):
        rest = (fresh(1), NETWORK, data.features, data.labels(), TASKS, settings)
        started = time.process_time()
        fit(*rest, lambda *_: None)
        between = time.process_time()
        fit_private(*rest, terms, lambda *_: None)
        if number:  # the first pays for what is loaded once
            without.append(between - started)
            with_noise.append(time.process_time() - between)
    times = median(with_noise) / median(without)
    return Row(
        f"DP-SGD, an epoch of {len(data):,} compounds in lots of {lot:,}",
        median(with_noise),
        "s CPU",
        "plain training",
        median(without),
        1 / times,
        f"≤ {_MOST_TIMES:g} x plain",
        times <= _MOST_TIMES,
        with_noise,
    )


def utility_rows(own: Measured, exam: Measured, public: Known, seeds: int) -> list[Row]:
    """Trains at each epsilon and size."""
    starts = [begun(public, NETWORK, seed) for seed in range(seeds)]
    rows = _both("the public start alone", starts, exam)
    for size in dict.fromkeys(min(size, len(own)) for size in _SIZES):
        data = own.take(np.arange(size))
        best = [plain(data, start, seed) for seed, start in enumerate(starts)]
        rows += _both(f"{size:,} compounds from a public start, no noise", best, exam)
        for epsilon in (8.0, 3.0, 1.0):
            noise = Noise(epsilon)
            models = [noisy(data, start, seed, noise) for seed, start in enumerate(starts)]
            name = f"{size:,} compounds from a public start, epsilon {epsilon:g}"
            rows += _judged(_both(name, models, exam), best, exam, epsilon, size)
        models = [noisy(data, fresh(seed), seed, Noise(8.0)) for seed in range(seeds)]
        rows += _both(f"{size:,} compounds from fresh weights, epsilon 8", models, exam)
    return rows


def _both(name: str, models: list[Weights], exam: Measured) -> list[Row]:
    aucs, errors = ([score(one, exam) for one in models] for score in (auc, error))
    return [
        Row(f"AUC: {name}", mean(aucs), "", runs=aucs),
        Row(f"MAE of logD: {name}", mean(errors), "", runs=errors),
    ]


def _judged(
    rows: list[Row], best: list[Weights], exam: Measured, epsilon: float, size: int
) -> list[Row]:
    """Holds the AUC at epsilon 8 and 10,000 compounds against what is demanded."""
    value, without = rows[0].value or 0.0, mean([auc(one, exam) for one in best])
    if epsilon < 8 or size < max(_SIZES):
        return rows
    met = without - value <= _MOST_LOSS
    limit = f"loses ≤ {_MOST_LOSS:g}"
    return [replace(rows[0], peer="no noise", peer_value=without, must=limit, met=met), rows[1]]


def parted(everything: Measured) -> tuple[Measured, Measured, Measured]:
    """Returns the exam, the silo's compounds, and what is left to choose a recipe on."""
    exam = min(_EXAM, len(everything) // 4)
    end = min(len(everything), exam + _OWN)
    ends = ((0, exam), (exam, end), (end, len(everything)))
    first, own, rest = (everything.take(np.arange(*one)) for one in ends)
    return first, own, rest


def main() -> None:
    """Measures, prints and saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/privacy"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    everything, public = read(given.data, given.out, 600 if given.quick else 0)
    exam, own, rest = parted(everything)
    rows = [cost_row(own, lot) for lot in (512, RECIPE.batch_size)]
    rows += utility_rows(own, rest if given.choose else exam, public, given.seeds)
    show(rows, Console(width=160))
    if given.json:
        save(rows, given.json)


if __name__ == "__main__":
    main()
