"""Split-conformal intervals: a half-width per task from errors on compounds that no model saw.

Vovk et al. 2005; Lei et al. 2018, arXiv:1604.04173: with n held-out errors the
ceil((n + 1) * level)-th smallest one covers the next compound with at least that probability, if it
is like them.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_FEWEST = 30  # below this the upper quantile of a task's own errors says little


def half_widths(
    errors: Sequence[npt.NDArray[np.float64]], scales: Sequence[float], level: float = 0.9
) -> npt.NDArray[np.float64]:
    """Returns half the width of each task's interval.

    Args:
        errors: Absolute errors on held-out compounds, an array (n,) a task; may be empty.
        scales: Each task's spread, > 0: a task of under 30 errors borrows those of all the others,
            in units of it.
        level: Of coverage, above 0 and below 1.

    Returns:
        float64 (tasks,); infinite where there is no error at all.
    """
    pooled = [own / scale for own, scale in zip(errors, scales, strict=True)]
    together = np.concatenate([np.zeros(0), *pooled])
    return np.array(
        [
            _quantile(own, level) if len(own) >= _FEWEST else scale * _quantile(together, level)
            for own, scale in zip(errors, scales, strict=True)
        ]
    )


def _quantile(errors: npt.NDArray[np.float64], level: float) -> float:
    if not len(errors):
        return math.inf
    place = min(math.ceil((len(errors) + 1) * level), len(errors))
    return float(np.partition(errors, place - 1)[place - 1])
