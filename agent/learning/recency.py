"""What is newer counts for more: a series moves on, and yesterday's chemistry is tomorrow's."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def ages(moments: Sequence[str]) -> npt.NDArray[np.float64]:
    """Returns how old each entry is: the share of the dated entries that are newer.

    Args:
        moments: Texts whose order is time's, such as ISO dates; an empty one has no date.

    Returns:
        float64 (n,) from 0 (newest) to below 1. What has no date is as old as the oldest that has
        one; where nothing has, all are of age 0.
    """
    texts = np.asarray(moments, dtype=np.str_)
    dated = texts != ""
    found = np.zeros(len(texts))
    if not dated.any():
        return found
    _, place, counts = np.unique(texts[dated], return_inverse=True, return_counts=True)
    newer = (dated.sum() - np.cumsum(counts)) / dated.sum()
    found[dated] = newer[place]
    found[~dated] = newer[0]
    return found


def recency(age: npt.NDArray[np.float64], rate: float) -> npt.NDArray[np.float64]:
    """Returns how much each entry counts: exp(-rate * age).

    Args:
        age: As `ages` returns it, 0 .. 1.
        rate: 0 lets all count alike; at 1.5 the oldest count for about a fifth of the newest.
    """
    return np.asarray(np.exp(-rate * age), dtype=np.float64)
