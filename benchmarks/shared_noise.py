"""What noise that silos share costs: `python -m benchmarks.shared_noise --data FOLDER`.

Five silos of 2,000 compounds each, logD of PharmaBench as in `benchmarks.privacy`, from the same
public start: rounds of sampled, clipped sums through the ring, with the noise of t = 4 silos in it
(five add theirs), and FedAdam at the aggregator. Beside it one silo that trains alone with noise of
its own at the same epsilon. The server's rate is chosen on compounds that no silo has; the exam is
looked at once. `--quick` uses a few compounds; its figures mean nothing.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console

from agent.learning.private import sampled_gradient
from agent.learning.settings import Settings
from agent.privacy.accounting import calibrate
from agent.wire.adaptive import adam_step
from agent.wire.documents import MaskRules, Recipe, SharedNoise
from agent.wire.masking.layout import Layout, Update
from agent.wire.masking.quantize import Rounding
from agent.wire.masking.sharing import check_room, share
from agent.wire.masking.terms import bits_for
from agent.wire.network import Weights, expected_shapes
from agent.wire.update import group_of
from benchmarks.noisy import DELTA, Noise
from benchmarks.privacy import NETWORK, auc, noisy, parted
from benchmarks.public_sets import Known
from benchmarks.public_start import SPEC, TASKS, Measured, begun, read
from benchmarks.report import Row, mean, save, show

_SILOS, _ROUNDS, _RATE = 5, 100, 0.25
_SERVER_RATES = (0.005, 0.02, 0.06)
_NAMES = tuple(task.name for task in TASKS)
_calibrated = cache(calibrate)


def plan(epsilon: float, server_rate: float) -> tuple[SharedNoise, Recipe]:
    """Returns what such a plan says."""
    recipe = Recipe(
        rounds=_ROUNDS,
        local_epochs=1,
        batch_size=512,
        learning_rate=0.5,
        weight_decay=0.0,
        weighting="uniform",
        server_momentum=0.9,
        release_every=_ROUNDS,
        finetune_epochs=0,
        optimizer="adam",
        server_rate=server_rate,
    )
    asked = SharedNoise(
        masking=MaskRules(clip=0.1),
        epsilon=epsilon,
        delta=DELTA,
        noise=_calibrated(epsilon, DELTA, _RATE, _ROUNDS),
        clip=1.0,
        sampling_rate=_RATE,
    )
    check_room(asked, recipe, _SILOS)
    return asked, recipe


@dataclass(frozen=True, slots=True, eq=False)
class Federation:
    """The silos, and what they start from."""

    silos: tuple[Measured, ...]
    start: Weights

    def trained(self, asked: SharedNoise, recipe: Recipe, *, noise: bool = True) -> Weights:
        """Runs the plan's rounds; without noise, for what it costs."""
        bits = bits_for(_SILOS)
        shapes = expected_shapes(NETWORK, SPEC, _NAMES)
        groups = {group_of(name) for name in shapes}
        rules = asked.masking.model_copy(update={"bias_clip": asked.masking.clip})
        layout = Layout.of(shapes, groups, rules, bits, 1.0)
        own = share(asked, recipe, bits, _SILOS) if noise else 0.0
        weights, state = self.start, dict[str, np.ndarray]()
        for _ in range(recipe.rounds):
            total = np.zeros(layout.words, dtype=np.uint32)
            for silo in self.silos:
                update = Update(_step(weights, silo, asked, recipe), dict.fromkeys(groups, 1.0))
                total += layout.write(update, groups, Rounding(), own)[0]
            weights, state = adam_step(weights, layout.read(total).mean(), state, recipe)
        return weights


def _step(weights: Weights, silo: Measured, asked: SharedNoise, recipe: Recipe) -> Weights:
    settings = Settings(epochs=1, threads=1, device="cpu")
    how = (asked.sampling_rate, asked.clip)
    total = sampled_gradient(weights, NETWORK, silo.features, silo.labels(), TASKS, settings, how)
    rate = np.float32(-recipe.learning_rate / recipe.batch_size)
    return {name: rate * tensor for name, tensor in total.items()}


def rows(own: Measured, spare: Measured, exam: Measured, public: Known, seeds: int) -> list[Row]:
    """Chooses the server's rate on the spare compounds, and judges on the exam."""
    size = len(own) // _SILOS
    parts = [own.take(np.arange(at * size, (at + 1) * size)) for at in range(_SILOS)]
    starts = [begun(public, NETWORK, seed) for seed in range(seeds)]
    silos = [Federation(tuple(parts), start) for start in starts]
    tried = {rate: auc(silos[0].trained(*plan(8.0, rate)), spare) for rate in _SERVER_RATES}
    rate = max(tried, key=tried.__getitem__)
    found = [
        Row(f"server rate {one:g}: AUC on spare compounds, epsilon 8", value, "")
        for one, value in tried.items()
    ]
    found.append(_row("the public start alone", starts, exam))
    quiet = [one.trained(*plan(8.0, rate), noise=False) for one in silos]
    found.append(_row(f"{_SILOS} silos, no noise", quiet, exam))
    for epsilon in (8.0, 3.0):
        shared = [one.trained(*plan(epsilon, rate)) for one in silos]
        found.append(_row(f"{_SILOS} silos share noise, epsilon {epsilon:g}", shared, exam))
        alone = [noisy(parts[0], start, seed, Noise(epsilon)) for seed, start in enumerate(starts)]
        found.append(_row(f"one of them alone, epsilon {epsilon:g}", alone, exam))
    return found


def _row(name: str, models: Sequence[Weights], exam: Measured) -> Row:
    runs = [auc(one, exam) for one in models]
    return Row(f"AUC: {name}", mean(runs), "", runs=runs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and saves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/privacy"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args(arguments)
    everything, public = read(given.data, given.out, 600 if given.quick else 0)
    exam, own, spare = parted(everything)
    found = rows(own, spare, exam, public, given.seeds)
    show(found, Console(width=120))
    if given.json:
        save(found, given.json)


if __name__ == "__main__":
    main()
