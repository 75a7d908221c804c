"""Averages that a few lying silos cannot own: the median, the trimmed mean, and Krum.

They look at each silo's own update, so they need an aggregator that sees it: a plan has either
these or masks (`check_visible`). Each silo counts alike, since a weight is the silo's own word.
A group that fewer silos trained than a rule needs stays as it is: with fewer, one of them decides.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.wire.recipe import Aggregation, Recipe
from agent.wire.update import Weights, group_of

LEAST: Mapping[Aggregation, int] = {"mean": 1, "median": 3, "trimmed_mean": 3, "krum": 5}
"""The fewest silos of which a rule tells one liar from the others; for Krum n >= 2f + 3."""
_TRIMMED = 0.2  # of the silos, from each end; one at least
_PIECE = 1 << 16  # columns sorted at once, so that memory does not grow with a tensor

Given = tuple[Weights, Mapping[str, float]]
"""What `agent.wire.update.unpack` returns: w * delta by tensor, w by group."""


def check_visible(recipe: Recipe, *, masked: bool) -> None:
    """Checks that a plan asks for no rule that masks make impossible.

    Raises:
        Refused: `not_a_sum`.
    """
    if masked and recipe.aggregate != "mean":
        raise Refused(
            "not_a_sum",
            f"Under masks the aggregator learns a sum only; it cannot take the "
            f"{recipe.aggregate}. Let the plan say mean, or take its masking out.",
        )


def combine(updates: Sequence[Given], rule: Aggregation) -> Weights:
    """Returns one delta of every tensor that enough silos trained.

    Args:
        updates: Of each silo, its weight above zero for every group that it trained.
        rule: Any but `mean`, for which `averaging.Sums` needs less memory.
    """
    groups = sorted({group for _, weight in updates for group in weight})
    result: Weights = {}
    for group in groups:
        taken = [(products, weight[group]) for products, weight in updates if group in weight]
        if len(taken) >= LEAST[rule]:
            names = sorted(name for name in taken[0][0] if group_of(name) == group)
            result |= _group(taken, names, rule)
    return result


def _group(taken: list[tuple[Weights, float]], names: list[str], rule: Aggregation) -> Weights:
    if rule == "krum":
        products, weight = taken[_chosen(taken, names)]
        return {name: products[name] / np.float32(weight) for name in names}
    cut = _cut(len(taken), rule)
    return {
        name: _middle([products[name] / np.float32(weight) for products, weight in taken], cut)
        for name in names
    }


def _cut(silos: int, rule: Aggregation) -> int:
    """Returns how many values go from each end; the median leaves the one or two in the middle."""
    return (silos - 1) // 2 if rule == "median" else max(1, int(_TRIMMED * silos))


def _middle(deltas: list[npt.NDArray[np.float32]], cut: int) -> npt.NDArray[np.float32]:
    """Coordinate by coordinate (Yin et al. 2018, arXiv:1803.01498, definitions 1 and 2)."""
    shape = deltas[0].shape
    flat = [delta.reshape(-1) for delta in deltas]
    result = np.empty(flat[0].size, dtype=np.float32)
    for start in range(0, result.size, _PIECE):
        piece = np.sort(np.stack([one[start : start + _PIECE] for one in flat]), axis=0)
        result[start : start + _PIECE] = piece[cut : len(flat) - cut].mean(axis=0, dtype=np.float64)
    return result.reshape(shape)


def _chosen(taken: list[tuple[Weights, float]], names: list[str]) -> int:
    """Returns whose update lies nearest to its neighbours (Blanchard et al. 2017, section 4).

    With f = (n - 3) / 2 liars at most, a silo's score is the sum of the squared distances to its
    n - f - 2 nearest others.
    """
    distances = np.zeros((len(taken), len(taken)))
    for i in range(len(taken)):
        for j in range(i):
            distances[i, j] = distances[j, i] = _apart(taken[i], taken[j], names)
    np.fill_diagonal(distances, np.inf)
    near = len(taken) - (len(taken) - 3) // 2 - 2
    return int(np.argmin(np.sort(distances, axis=1)[:, :near].sum(axis=1)))


def _apart(one: tuple[Weights, float], other: tuple[Weights, float], names: list[str]) -> float:
    (mine, own), (theirs, weight) = one, other
    return sum(
        float(
            np.square(mine[name] / np.float32(own) - theirs[name] / np.float32(weight)).sum(
                dtype=np.float64
            )
        )
        for name in names
    )
