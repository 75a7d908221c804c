"""How good, how sure and how quick a silo's own model is, on the later compounds of a series.

`python -m benchmarks.learning --data FOLDER [--out FOLDER] [--json PATH] [--seeds 3]` trains the
default model on the first 82 % of the ExpansionRx series and judges it on the last 18 %, through
the pieces of `onggi evaluate`; the peers learn from the same compounds in environments of their
own. `--quick` uses a few compounds and tiny networks: it tells whether all of it runs, and its
figures mean nothing.

Not here: Chemprop where it cannot be installed beside torch 2.13 (the row then says so), and the
later compounds that are held out of the data folder.
"""

import argparse
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from agent.demo.plan import draft
from agent.features.spec import default_spec
from agent.learning.comparing import paired
from agent.processes import cores
from agent.wire.documents import NetworkSpec
from agent.wire.network import expected_shapes
from benchmarks import gpu, learning_peers, peers
from benchmarks.coverage import cover, coverage_rows
from benchmarks.held_out import Split, split
from benchmarks.measured import SERIES, read_sets
from benchmarks.models import Doubles, Recipes, one_member, train
from benchmarks.report import Row, below, mean, save, seeded, show

WHAT = "ExpansionRx, last 18 %"
_RAE, _TRAINING_S, _UPDATE_MB = 0.56, 15.0, 5.0
_TIMES = 3
_DEAR = ("chemprop",)  # one seed is enough of what takes minutes
_MB = 1e6
_BYTES = 4  # of a parameter: masked sums of float32 cannot be compressed

Keep = Callable[[Sequence[Row]], None]


def alone_rows(parts: Split, recipes: Recipes, seeds: int) -> tuple[list[Row], list[Doubles]]:
    """Trains and judges the default model, and counts what its intervals cover.

    Returns:
        The rows, and what each seed said of the exam's measurements.
    """
    own, exam, validation = parts.own, parts.exam, parts.validation()
    kept_back, said, covered = own.labels_of(validation), [], []
    for seed in range(seeds):
        trained = train(recipes.learner(seed), own, [], validation, exam.features)
        said.append(exam.said(trained.answer.mean))
        covered.append(cover(own, kept_back, trained, exam))
    everything = np.arange(len(exam.values))
    runs = [exam.mean_rae(one)(everything) for one in said]
    name = f"{WHAT}: MA-RAE, {len(exam.judged)} endpoints, trained on the first 82 %"
    return [seeded(name, runs, _RAE), *coverage_rows(WHAT, covered)], said


def member_row(parts: Split, recipes: Recipes) -> Row:
    """Times one network on the whole of the series, in seconds of one core."""
    whole = parts.sets.problem(parts.sets.own, ()) or parts.own
    labels, tasks = whole.silo.labels, len(whole.silo.tasks)
    name = f"training one member, {len(np.unique(labels.rows)):,} compounds × {tasks} tasks, 1 core"
    runs = [one_member(recipes, whole, time) for time in range(_TIMES)]
    return below(name, runs, "s", _TRAINING_S)


def update_rows(tasks: int) -> list[Row]:
    """Returns the size of an update, of the rounds in `onggi evaluate` and of the demo's plan."""
    drafted = draft()["network"]
    evaluated = NetworkSpec(hidden=Recipes.of(quick=False).federated.hidden, dropout=0, seed=0)
    return [
        _update(f"update of the recipe's network, {tasks} heads", evaluated, tasks),
        _update(f"update of the demo plan's network, {tasks} heads", _network(drafted), tasks),
    ]


def _network(drafted: dict[str, object]) -> NetworkSpec:
    return NetworkSpec.model_validate(drafted, strict=False)


def _update(name: str, network: NetworkSpec, tasks: int) -> Row:
    shapes = expected_shapes(network, default_spec(), [f"t{column}" for column in range(tasks)])
    count = sum(int(np.prod(shape)) for shape in shapes.values())
    size = count * _BYTES / _MB
    return Row(
        f"{name}: {count:,} parameters",
        size,
        "MB",
        must=f"≤ {_UPDATE_MB:g} MB",
        met=size <= _UPDATE_MB,
    )


def peer_rows(parts: Split, said: Sequence[Doubles], recipes: Recipes, out: Path) -> list[Row]:
    """Lets the peers learn from the same compounds, on one core each."""
    folder = out / "peer-problem"
    smiles = parts.sets.smiles(parts.own.compounds), parts.sets.smiles(parts.exam.compounds)
    rate = recipes.local.recency_rate
    learning_peers.write_problem(folder, parts.own, parts.exam, smiles, rate)
    found = []
    for kind in learning_peers.NAMES:
        seeds = min(len(said), 1) if kind in _DEAR else len(said)
        try:
            python = learning_peers.python_for(kind, out / "learning-peers")
            runs = [learning_peers.run(python, kind, folder, seed) for seed in range(seeds)]
        except peers.NoPeers as error:
            text = f"{learning_peers.NAMES[kind]}: not measured: {error}"
            found.append(Row(f"{WHAT}: MA-RAE", None, "", peer=text))
            continue
        found += _against(parts, said, learning_peers.NAMES[kind], runs)
    return found


def _against(
    parts: Split, said: Sequence[Doubles], name: str, runs: Sequence[learning_peers.PeerRun]
) -> list[Row]:
    exam, everything = parts.exam, np.arange(len(parts.exam.values))
    ours = [exam.mean_rae(one) for one in said[: len(runs)]]
    theirs = [exam.mean_rae(exam.said(run.said)) for run in runs]
    values = [figure(everything) for figure in ours]
    value, other = mean(values), mean([figure(everything) for figure in theirs])
    sure = paired(ours, theirs, len(everything), groups=exam.rows)
    peer = f"{name}, {len(runs)} seeds, {mean([run.seconds for run in runs]):.0f} s on one core"
    return [
        Row(f"{WHAT}: MA-RAE", value, "", peer, other, other / value, runs=values),
        Row(
            f"{WHAT}: MA-RAE minus the peer's; the runs are the ends of the 95 % interval",
            sure.value,
            "",
            name,
            must="< 0",
            met=sure.high < 0,
            runs=[sure.low, sure.high],
        ),
    ]


def measure(chosen: argparse.Namespace, keep: Keep) -> None:
    """Measures everything, and hands on each piece when it is there."""
    recipes = Recipes.of(chosen.quick)
    parts = split(read_sets(chosen.data, chosen.out, SERIES, quick=chosen.quick))
    found, said = alone_rows(parts, recipes, chosen.seeds)
    keep(found)
    found = [*found, member_row(parts, recipes), *update_rows(len(parts.own.silo.tasks))]
    found += gpu.rows()
    keep(found)
    if not chosen.no_peers:
        found += peer_rows(parts, said, recipes, chosen.out)
        keep(found)


def arguments_of(program: str, text: str | None) -> argparse.ArgumentParser:
    """Returns the arguments that this benchmark and `benchmarks.federation` share."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=text)
    parser.add_argument("--data", type=Path, required=True, help="Folder of the real sets.")
    parser.add_argument("--out", type=Path, default=Path("build/benchmark"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="Only whether it runs.")
    return parser


def keeper(chosen: argparse.Namespace) -> Keep:
    """Returns what shows the rows so far, and writes them where asked."""
    chosen.out = chosen.out.absolute() / ("quick" if chosen.quick else "whole")
    chosen.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=180)
    console.print(f"Python {platform.python_version()}, {cores()} cores")

    def keep(rows: Sequence[Row]) -> None:
        show(rows, console)
        if chosen.json:
            save(rows, chosen.json)

    return keep


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the JSON."""
    parser = arguments_of("benchmarks.learning", __doc__)
    parser.add_argument("--no-peers", action="store_true", help="Leave the peers out.")
    chosen = parser.parse_args(arguments)
    measure(chosen, keeper(chosen))


if __name__ == "__main__":
    main()
