"""LiRA: was this compound learned from? The strongest membership attack known, for any release.

Carlini et al. 2022 (arXiv:2112.03570), the online attack with pooled variances (section VI.C):
many models are trained on drawn halves; each in turn is the target, and the others tell what a
compound scores where it was learned from and where it was not.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.learning.metrics import auroc

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_LEAST_SPREAD = 1e-3
_RARE = 0.01


@dataclass(frozen=True, slots=True)
class Found:
    """What the attack reached, each a figure a target.

    Attributes:
        areas: The area under the curve; guessing gives .5.
        shares: The share of members that are found where one in a hundred others is taken for one.
        plain: The area by the compound's own score alone, without any shadow.
    """

    areas: list[float]
    shares: list[float]
    plain: list[float]


def halves(models: int, compounds: int, seed: int) -> Flags:
    """Returns who learned from what, bool (models, compounds).

    Models 2i and 2i + 1 learn from a drawn half and from its complement.

    Raises:
        ValueError: The number of models is odd.
    """
    if models % 2:
        raise ValueError("halves come with their complements: an even number of models")
    draws = np.random.default_rng(seed)
    drawn = [draws.permutation(compounds) < compounds // 2 for _ in range(models // 2)]
    return np.stack([side for half in drawn for side in (half, ~half)])


def lira(scores: Doubles, members: Flags, plain: Doubles) -> Found:
    """Attacks each model with the others as shadows, but for the one of the other half.

    Without that one every compound is in just half of the shadows: their number must not tell.

    Args:
        scores: (models, compounds); what a model says of each, such as a residual.
        members: Likewise, as `halves` draws it.
        plain: Likewise; higher where the compound looks more like a member by itself.
    """
    found = Found([], [], [])
    for target in range(len(scores)):
        others = np.arange(len(scores)) // 2 != target // 2
        inside = np.where(members[others], scores[others], np.nan)
        outside = np.where(members[others], np.nan, scores[others])
        evidence = _log_density(scores[target], inside) - _log_density(scores[target], outside)
        truth = members[target]
        limit = np.quantile(evidence[~truth], 1 - _RARE)
        found.areas.append(_area(evidence, truth))
        found.shares.append(float((evidence[truth] > limit).mean()))
        found.plain.append(_area(plain[target], truth))
    return found


def _area(score: Doubles, truth: Flags) -> float:
    return auroc(score.astype(np.float32), truth.astype(np.float32))


def _log_density(score: Doubles, shadows: Doubles) -> Doubles:
    """Returns the logarithm of a normal density whose spread is that of all compounds together.

    With few shadows one compound's own spread is too rough.
    """
    centre = np.nanmean(shadows, axis=0)
    spread = max(float(np.nanstd(shadows - centre)), _LEAST_SPREAD)
    density: Doubles = -(((score - centre) / spread) ** 2) / 2 - np.log(spread)
    return density
