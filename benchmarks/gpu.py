"""A training of 200,000 compounds by 50 tasks on one GPU, timed; and how long it waited for data.

`python -m benchmarks.gpu [--compounds 200000] [--tasks 50] [--device cuda] [--json PATH]`. The
compounds are drawn, not real: counts and labels as sparse as a drug's, since only the time is
measured. One member of the default recipe. Where there is no GPU the row says so.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import numpy as np
import torch
from rich.console import Console

from agent.clock import monotonic_s
from agent.features.rows import Features
from agent.features.spec import default_spec
from agent.learning import train
from agent.learning.batches import made_ahead
from agent.learning.recipes import LocalRecipe
from agent.learning.tasks import Labels, TaskSpec
from agent.wire.documents import NetworkSpec
from agent.wire.network import initial_weights
from benchmarks.report import Row, save, show

COMPOUNDS, TASKS = 200_000, 50
_COUNTS = 45  # columns that a drug's fingerprint sets, about
_LABELLED = 0.2  # of the cells
_MUST_S, _MOST_WAITING = 60.0, 0.5

_Input = TypeVar("_Input")
_Output = TypeVar("_Output")


def rows(compounds: int = COMPOUNDS, tasks: int = TASKS, *, device: str = "cuda") -> list[Row]:
    """Returns the time and the share of it that was not spent waiting for data."""
    name = f"training, {compounds:,} compounds × {tasks} tasks, one member"
    if device == "cuda" and not torch.cuda.is_available():
        none = "no GPU here; python -m benchmarks.gpu measures it where there is one"
        return [Row(name, None, "s", peer=none, must=f"≤ {_MUST_S:g} s")]
    taken_s, waited_s = _timed(compounds, tasks, device)
    on = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    busy = 1 - waited_s / taken_s
    in_time, fed = taken_s <= _MUST_S, busy >= 1 - _MOST_WAITING
    whole = device == "cuda" and (compounds, tasks) == (COMPOUNDS, TASKS)
    return [
        Row(
            f"{name}, {on}",
            taken_s,
            "s",
            must=f"≤ {_MUST_S:g} s",
            met=in_time if whole else None,
            runs=[taken_s],
        ),
        Row(
            "of that, not waiting for data",
            busy,
            "",
            must="≥ 0.5",
            met=fed if whole else None,
            runs=[busy],
        ),
    ]


@dataclass
class _Waiting:
    """Counts the seconds in which the training waited for its next batch."""

    seconds: float = 0.0

    def made_ahead(
        self, make: Callable[[_Input], _Output], inputs: Sequence[_Input], device: torch.device
    ) -> Iterator[_Output]:
        """Does what `agent.learning.batches.made_ahead` does, with a watch in the hand."""
        coming = made_ahead(make, inputs, device)
        for _ in inputs:
            started_s = monotonic_s()
            made = next(coming)
            self.seconds += monotonic_s() - started_s
            yield made


def _timed(compounds: int, tasks: int, device: str) -> tuple[float, float]:
    features, labels = _drawn(compounds, tasks)
    specs = [TaskSpec(f"t{column}", "regression") for column in range(tasks)]
    recipe = LocalRecipe()
    network = NetworkSpec(hidden=recipe.hidden, dropout=recipe.dropout, seed=0)
    start = initial_weights(network, default_spec(), [task.name for task in specs])
    run = train.Settings(
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        device="cuda" if device == "cuda" else "cpu",
    )
    waiting = _Waiting()
    started_s = monotonic_s()
    with patch.object(train, "made_ahead", waiting.made_ahead):
        train.fit(start, network, features, labels, specs, run, lambda *_: None)
    return monotonic_s() - started_s, waiting.seconds


def _drawn(compounds: int, tasks: int) -> tuple[Features, Labels]:
    random, spec = np.random.default_rng(0), default_spec()
    # Ascending and distinct in each row: one column out of each stretch of the fingerprint.
    stretch = spec.hash_size // _COUNTS
    offsets = random.integers(0, stretch, (compounds, _COUNTS))
    indices = (np.arange(_COUNTS) * stretch + offsets).astype(np.int32)
    counts = np.log1p(random.integers(1, 4, indices.size)).astype(np.float32)
    dense = random.standard_normal((compounds, len(spec.descriptors)), np.float32)
    indptr = np.arange(compounds + 1, dtype=np.int64) * _COUNTS
    features = Features(indptr, indices.ravel(), counts, dense)
    cells = np.flatnonzero(random.random(compounds * tasks, np.float32) < _LABELLED)
    at, cols = np.divmod(cells, tasks)
    values = dense[at, cols % dense.shape[1]]
    values = values + random.standard_normal(len(cells), np.float32)
    return features, Labels(at, cols, values, np.zeros(len(cells), np.int8))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--compounds", type=int, default=COMPOUNDS)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    found = rows(chosen.compounds, chosen.tasks, device=chosen.device)
    show(found, Console(width=160))
    if chosen.json:
        save(found, chosen.json)


if __name__ == "__main__":
    main()
