"""What a silo gains by learning with others, on compounds that none of them had.

`python -m benchmarks.federation --data FOLDER [--out FOLDER] [--json PATH] [--seeds 3]
[--parts series,five,poor]`. `series`: ExpansionRx's last 18 %, alone and with the other folders as
silos. `five`: ExpansionRx and Biogen, each drawn into five silos by scaffold, alone, together and
pooled. `poor`: one of ExpansionRx's five has 300 compounds. All with the default recipe and choice
of `onggi evaluate`, in one process that averages as the aggregator does; `--quick` as in
`benchmarks.learning`.

A gap's share is a mean over endpoints of a quotient of means, so a small gap weighs as much as a
large one. Not here: rounds over the wire (`onggi demo` runs them), and other recipes than the
default.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from agent.learning.comparing import paired
from benchmarks.held_out import Split, split
from benchmarks.joining import POOR, SILOS, Five, Said, poor, silos_of, worse
from benchmarks.learning import WHAT, arguments_of, keeper
from benchmarks.measured import LARGE, OTHERS, SERIES, read_sets
from benchmarks.models import Recipes
from benchmarks.report import Row, mean, seeded

_RAE, _CLOSED, _POOR_GAIN = 0.55, 0.8, -0.15
_ENDS = "the runs are the ends of the 95 % interval"


def series_rows(chosen: argparse.Namespace, recipes: Recipes) -> Iterator[Row]:
    """Compares the series' own model with the one made with the other folders."""
    parts = split(read_sets(chosen.data, chosen.out, SERIES, OTHERS, quick=chosen.quick))
    said, others = Said(), parts.others()
    for seed in range(chosen.seeds):
        said.ask(parts, parts.own, others, recipes, seed)
    alone, together = _rae(parts, said.alone), _rae(parts, said.together)
    name = f"{WHAT}: MA-RAE with {', '.join(one.silo.name for one in others)} as silos"
    row = seeded(name, together, _RAE)
    yield Row(
        row.name,
        row.value,
        row.unit,
        "alone, same seeds",
        mean(alone),
        mean(alone) / mean(together),
        row.must,
        row.met,
        together,
    )
    yield _gain(parts, said, f"{WHAT}: MA-RAE with the others minus that alone")
    yield worse_row(f"{WHAT}: heads that got worse by joining", [(parts, said)])


def _rae(parts: Split, said: Sequence[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> list[float]:
    everything = np.arange(len(parts.exam.values))
    return [parts.exam.mean_rae(one)(everything) for one in said]


def _gain(parts: Split, said: Said, name: str) -> Row:
    exam = parts.exam
    figures = [[exam.mean_rae(one) for one in each] for each in (said.together, said.alone)]
    sure = paired(figures[0], figures[1], len(exam.values), groups=exam.rows)
    ends = [sure.low, sure.high]
    return Row(f"{name}; {_ENDS}", sure.value, "", must="< 0", met=sure.high < 0, runs=ends)


def worse_row(name: str, judged: Sequence[tuple[Split, Said]]) -> Row:
    """Counts heads whose error grew beyond the paired interval; they were chosen on older ones."""
    found = [task for parts, said in judged for task in worse(parts.exam, said)]
    heads = sum(len(parts.exam.judged) for parts, _ in judged)
    which = f" ({', '.join(sorted(set(found)))})" if found else ""
    return Row(f"{name}, of {heads}{which}", float(len(found)), "", must="0", met=not found)


def five_rows(chosen: argparse.Namespace, recipes: Recipes) -> Iterator[Row]:
    """Draws two sets into five silos each, and tells how much of the gap they close together."""
    for name in (SERIES, LARGE):
        parts = split(read_sets(chosen.data, chosen.out, name, quick=chosen.quick))
        five = Five.trained(parts, recipes, chosen.seeds)
        what = f"{name} in {SILOS} silos by scaffold, {recipes.federated.rounds} rounds"
        yield closed_row(what, five)
        judged = [(parts, said) for said in five.silos]
        yield worse_row(f"{what}: heads that got worse by joining", judged)


def closed_row(what: str, five: Five) -> Row:
    """Returns the mean share over the endpoints that have a gap; the runs are the seeds."""
    shares = dict(five.closed())
    must = f"≥ {_CLOSED:g}"
    if not shares:
        none = "no endpoint's gap excludes zero"
        return Row(f"{what}: share of the gap closed", None, "", peer=none, must=must)
    by_seed = [float(run) for run in np.mean(list(shares.values()), axis=0)]
    each = ", ".join(f"{task} {mean(runs):.2f}" for task, runs in shares.items())
    value = mean(by_seed)
    return Row(
        f"{what}: share of the gap local to pooled closed ({each})",
        value,
        "",
        must=must,
        met=value >= _CLOSED,
        runs=by_seed,
    )


def poor_rows(chosen: argparse.Namespace, recipes: Recipes) -> Iterator[Row]:
    """Lets a silo of 300 compounds join four others."""
    parts = split(read_sets(chosen.data, chosen.out, SERIES, quick=chosen.quick))
    first, *others = silos_of(parts)
    said = Said()
    for seed in range(chosen.seeds):
        said.ask(parts, poor(first, seed), others, recipes, seed)
    alone, together = _rae(parts, said.alone), _rae(parts, said.together)
    runs = [joined / own - 1 for joined, own in zip(together, alone, strict=True)]
    value = mean(together) / mean(alone) - 1
    what = f"a silo of {min(POOR, len(first.compounds))} compounds joining {len(others)} others"
    name, must = f"{what}: MA-RAE, change against alone", f"≤ {_POOR_GAIN:g}"
    yield Row(name, value, "", "alone", mean(alone), must=must, met=value <= _POOR_GAIN, runs=runs)
    yield _gain(parts, said, f"{what}: MA-RAE minus that alone")
    yield worse_row(f"{what}: heads that got worse by joining", [(parts, said)])


PARTS: dict[str, Callable[[argparse.Namespace, Recipes], Iterator[Row]]] = {
    "series": series_rows,
    "five": five_rows,
    "poor": poor_rows,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the JSON."""
    parser = arguments_of("benchmarks.federation", __doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="Which of them to measure.")
    chosen = parser.parse_args(arguments)
    wanted = chosen.parts.split(",")
    if not set(wanted) <= set(PARTS):
        parser.error(f"--parts takes some of {', '.join(PARTS)}")
    keep, recipes, found = keeper(chosen), Recipes.of(chosen.quick), list[Row]()
    for name in wanted:
        for row in PARTS[name](chosen, recipes):
            found.append(row)
            keep(found)


if __name__ == "__main__":
    main()
