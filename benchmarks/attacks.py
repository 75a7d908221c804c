"""What an attacker gets from the networks that we ship, each defence on and off.

`python -m benchmarks.attacks [--parts gradients,members,rounds] [--hash-size 2048] [--seeds 5]
[--shadows 16] [--quick] [--json PATH]`. The compounds are the demo's public ones, with values that
are Crippen's logP and noise; the network is 512-256. Each figure is a mean over seeds (for
membership over the models that were attacked) with a bootstrap interval of 95 %. docs/privacy.md
says what follows.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.attack_gradients import exact_compounds, one_gradient, plant, two_epochs
from benchmarks.attack_members import members
from benchmarks.attack_rounds import differencing, lying, two_models
from benchmarks.attack_world import Attack, Scale, World
from benchmarks.report import Row, mean, save, show

PARTS: dict[str, tuple[Attack, ...]] = {
    "gradients": (one_gradient, exact_compounds, plant, two_epochs),
    "members": (members,),
    "rounds": (differencing, two_models, lying),
}
_HIDDEN = (512, 256)
_COMPOUNDS = 2_600
_RESAMPLES = 2_000


def interval(runs: Sequence[float]) -> tuple[float, float]:
    """Returns the 95 % interval of the mean by resampling the runs."""
    drawn = np.random.default_rng(0).choice(np.asarray(runs), (_RESAMPLES, len(runs)))
    low, high = np.quantile(drawn.mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def row(name: str, runs: list[float]) -> Row:
    """Returns a figure with its interval."""
    low, high = interval(runs)
    return Row(name, mean(runs), "", peer=f"95 %: {low:.3g} to {high:.3g}", runs=runs)


def rows(world: World, scale: Scale, parts: Sequence[str]) -> Iterator[Row]:
    """Runs the attacks."""
    for part in parts:
        for attack in PARTS[part]:
            for name, runs in attack(world, scale):
                yield row(name, runs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="Which of them to run.")
    parser.add_argument("--hash-size", type=int, default=2048, help="Columns of the counts.")
    parser.add_argument("--seeds", type=int, default=Scale().seeds)
    parser.add_argument("--shadows", type=int, default=Scale().shadows)
    parser.add_argument("--quick", action="store_true", help="Tiny: only tells whether it runs.")
    parser.add_argument("--json", type=Path, help="Write the rows here.")
    chosen = parser.parse_args(arguments)
    wanted = chosen.parts.split(",")
    if not set(wanted) <= PARTS.keys():
        parser.error(f"--parts takes some of {', '.join(PARTS)}")
    console = Console(width=180)
    world = World.public(chosen.hash_size, _HIDDEN, 500 if chosen.quick else _COMPOUNDS)
    full = Scale(seeds=chosen.seeds, shadows=chosen.shadows)
    found: list[Row] = []
    for one in rows(world, Scale.quick() if chosen.quick else full, wanted):
        found.append(one)
        console.print(f"{one.name}: {one.value:.3g} ({one.peer})", highlight=False)
        if chosen.json:
            save(found, chosen.json)
    show(found, console)


if __name__ == "__main__":
    main()
