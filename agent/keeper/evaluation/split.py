"""Which compounds are held back: by time first, by scaffold second, and never by chance alone."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.assays.split import fold_of, newest

Name = Literal["test", "time", "scaffold"]

_SCAFFOLD_KEY = "6f6e6767692d6576616c75617465" + "0" * 36
"""Fixed, so that two evaluations hold back the same scaffolds."""


def newest_compounds(frame: pl.DataFrame, share: float) -> frozenset[str]:
    """Returns the newest share of the compounds, by the first time that each was measured.

    Args:
        frame: With `compound_key` and `date`.
        share: Above 0 and below 1.

    Returns:
        Their keys; none where there are no two different dates.
    """
    first = (
        frame.filter(pl.col("date") != "").group_by("compound_key").agg(pl.col("date").min())
    ).sort("compound_key")
    chosen = newest(np.array(first["date"].to_list(), dtype=np.str_), share)
    return _keys(first, chosen)


def scaffold_compounds(frame: pl.DataFrame, folds: int) -> frozenset[str]:
    """Returns the compounds of one in so many scaffolds.

    Args:
        frame: With `compound_key` and `fold_group`.
        folds: At least 2.
    """
    groups = frame.group_by("compound_key").agg(pl.col("fold_group").min()).sort("compound_key")
    folded = [fold_of(group, _SCAFFOLD_KEY, folds) == 0 for group in groups["fold_group"]]
    return _keys(groups, np.array(folded, dtype=np.bool_))


def held_back(frame: pl.DataFrame, share: float) -> frozenset[str]:
    """Returns what to choose and calibrate on: the newest compounds, or scaffolds without dates."""
    return newest_compounds(frame, share) or scaffold_compounds(frame, max(round(1 / share), 2))


def _keys(frame: pl.DataFrame, chosen: npt.NDArray[np.bool_]) -> frozenset[str]:
    return frozenset(frame["compound_key"].filter(pl.Series(chosen, dtype=pl.Boolean)))
