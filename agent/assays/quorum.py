"""Whether a task has enough labels to learn from, how its classes balance, whether it drifts."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["regression", "classification"]
Array = npt.NDArray[Any]

LEAST_DRIFT = 0.1
_KS_COEFFICIENT = 1.95  # c(alpha) of the two-sample Kolmogorov-Smirnov test at alpha = 0.001


@dataclass(frozen=True, slots=True)
class Quorum:
    """What a task needs, as in MELLODDY (25 actives and 25 inactives; 50 values, 25 uncensored).

    Attributes:
        labels: Compounds with a value; regression only.
        uncensored: Of them with "="; regression only.
        each_class: Compounds of each class; classification only.
    """

    labels: int = 50
    uncensored: int = 25
    each_class: int = 25


@dataclass(frozen=True, slots=True)
class Standing:
    """How a task stands.

    Attributes:
        n: Labelled compounds.
        censored: Of them with "<" or ">".
        positives: Of a class, how many are 1; 0 for a regression.
        missing: What the quorum lacks, by its field's name; empty where it is met.
    """

    n: int
    censored: int
    positives: int
    missing: dict[str, int]

    @property
    def met(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    @property
    def lacks(self) -> str:
        """What is missing, in words; empty where nothing is."""
        return " and ".join(f"{count} more {_WORDS[name]}" for name, count in self.missing.items())

    @property
    def sentence(self) -> str:
        """What is missing, for people; empty where nothing is."""
        return f"waits for {self.lacks}" if self.missing else ""


_WORDS = {
    "labels": "labelled compounds",
    "uncensored": "uncensored values",
    "positives": "actives",
    "negatives": "inactives",
}


def standing(kind: str, values: Array, qualifiers: Array, quorum: Quorum) -> Standing:
    """Counts a task's labels against its quorum.

    Args:
        kind: `regression` or `classification`.
        values: One a compound, shape (n,); 0.0 or 1.0 for a class.
        qualifiers: -1, 0 or 1, shape (n,).
        quorum: What is needed.
    """
    n, censored = len(values), int(np.count_nonzero(qualifiers))
    if kind == "classification":
        positives = int(np.count_nonzero(np.asarray(values) > 0.5))
        have = {"positives": positives, "negatives": n - positives}
        need = dict.fromkeys(have, quorum.each_class)
    else:
        positives = 0
        have = {"labels": n, "uncensored": n - censored}
        need = {"labels": quorum.labels, "uncensored": quorum.uncensored}
    missing = {name: need[name] - have[name] for name in have if have[name] < need[name]}
    return Standing(n, censored, positives, missing)


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the labels of a task moved between two snapshots.

    Attributes:
        distance: Of Kolmogorov and Smirnov: the largest difference between the two cumulative
            distributions, from 0 to 1.
        threshold: Above it the move is told.
    """

    distance: float
    threshold: float

    @property
    def drifted(self) -> bool:
        """Whether the move is worth telling."""
        return self.distance > self.threshold


def ks_distance(before: Array, after: Array) -> float:
    """Returns the Kolmogorov-Smirnov distance of two samples; 0 where one is empty."""
    if not len(before) or not len(after):
        return 0.0
    one, other = np.sort(before), np.sort(after)
    points = np.concatenate([one, other])
    below = [np.searchsorted(sample, points, side="right") / len(sample) for sample in (one, other)]
    return float(np.abs(below[0] - below[1]).max())


def drift(before: Array, after: Array) -> Drift:
    """Compares a task's labels with those of the last snapshot.

    The threshold is what chance reaches once in a thousand times for two samples of these sizes,
    and at least 0.1: of large samples every difference is significant and few matter. A snapshot
    mostly contains the last one, so the distance understates what the new rows alone would show.

    Args:
        before: Values on the modelled scale, shape (n,).
        after: The same of the newer snapshot, shape (m,).
    """
    n, m = len(before), len(after)
    chance = _KS_COEFFICIENT * np.sqrt((n + m) / (n * m)) if n and m else 1.0
    return Drift(ks_distance(before, after), float(min(max(chance, LEAST_DRIFT), 1.0)))


def pooled_sd(spreads: Array, counts: Array) -> float | None:
    """Returns the standard deviation of replicates over all compounds, or `None` without any.

    Args:
        spreads: Standard deviation of each compound's replicates, shape (n,).
        counts: How many replicates, shape (n,).
    """
    degrees = np.maximum(np.asarray(counts, dtype=np.float64) - 1.0, 0.0)
    if not degrees.sum():
        return None
    squares = degrees * np.asarray(spreads, dtype=np.float64) ** 2
    return float(np.sqrt(squares.sum() / degrees.sum()))
