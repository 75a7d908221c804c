"""How sure a figure is, and whether two models differ: bootstrap, paired wherever it can be.

Two models are compared on the same compounds and, where each was trained with several seeds, on
the same seeds: repeated measures, the practice that Ash et al. 2025 ("Practically significant
method comparison protocols for machine learning in small molecule drug discovery", J. Chem. Inf.
Model.) recommend. Percentile intervals (Efron and Tibshirani 1993, chapter 13); numpy's seeded
generator, so that equal arguments give equal figures.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 1_000
_TRIES = 20  # of a resample on which a figure is not defined, such as one class only

Rows = npt.NDArray[np.int64]
Figure = Callable[[Rows], float]
"""A figure over some rows, which may come several times; NaN where it is not defined."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it may lie.

    Attributes:
        value: Over all rows as they are.
        low, high: The percentile interval; NaN where the figure is not defined.
    """

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Tells whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def bootstrap(
    figure: Figure,
    rows: int,
    *,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
    groups: Rows | None = None,
) -> Interval:
    """Resamples rows with replacement.

    Args:
        figure: Of some rows.
        rows: How many there are.
        level: Of the interval.
        seed: Of the resampling.
        resamples: How often.
        groups: int (rows,): what is drawn together, such as a compound's rows over several tasks;
            each row by itself where it is missing.
    """
    random = np.random.default_rng(seed)
    members = None if groups is None else _members(groups)
    drawn = [_drawn(figure, rows, members, random) for _ in range(resamples if rows else 0)]
    value = figure(np.arange(rows)) if rows else math.nan
    return Interval(value, *_ends(drawn, level))


def paired(  # noqa: PLR0913 - the two models, and four switches with defaults
    first: Sequence[Figure],
    second: Sequence[Figure],
    rows: int,
    *,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
    groups: Rows | None = None,
) -> Interval:
    """Compares two models on the same resampled compounds, and on the same resampled seeds.

    Args:
        first: The figure of one model, by seed.
        second: That of the other, by the same seeds in the same order.
        rows: How many rows the figures are over.
        level: Of the interval.
        seed: Of the resampling.
        resamples: How often.
        groups: As `bootstrap`.

    Returns:
        The mean over seeds of first - second.

    Raises:
        ValueError: The two have not the same number of seeds, or none.
    """
    if not first or len(first) != len(second):
        raise ValueError("both models need the same seeds, at least one")
    random = np.random.default_rng(seed)

    def resampled(taken: Rows) -> float:
        seeds = random.integers(0, len(first), len(first))
        return _difference(first, second, seeds, taken)

    spread = bootstrap(
        resampled, rows, level=level, seed=seed + 1, resamples=resamples, groups=groups
    )
    whole = _difference(first, second, np.arange(len(first)), np.arange(rows))
    return Interval(whole, spread.low, spread.high)


def _difference(
    first: Sequence[Figure], second: Sequence[Figure], seeds: Rows, taken: Rows
) -> float:
    return float(np.mean([first[one](taken) - second[one](taken) for one in seeds]))


def _members(groups: Rows) -> list[Rows]:
    order = np.argsort(groups, kind="stable")
    edges = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, edges) if len(order) else []


def _drawn(
    figure: Figure, rows: int, members: list[Rows] | None, random: np.random.Generator
) -> float:
    count = rows if members is None else len(members)
    for _ in range(_TRIES):
        chosen = random.integers(0, count, count)
        taken = chosen if members is None else np.concatenate([members[one] for one in chosen])
        value = figure(taken)
        if not math.isnan(value):
            return value
    return math.nan


def _ends(drawn: list[float], level: float) -> tuple[float, float]:
    defined = [value for value in drawn if not math.isnan(value)]
    if not defined:
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
