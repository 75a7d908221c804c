"""Folds that are a keyed function of the structure, the same at every silo."""

import hashlib

import numpy as np
import numpy.typing as npt

_DIGEST_BYTES = 8


def fold_of(group: str, fold_key: str, folds: int) -> int:
    """Returns the fold of a group of similar compounds: keyed BLAKE2b, modulo the folds.

    Args:
        group: A scaffold, or a compound's flat key where it has no ring.
        fold_key: The plan's secret for folds, 32 bytes in hexadecimal.
        folds: How many folds there are, at least 1.

    Returns:
        A number from 0 to `folds` - 1. Modulo bias is below 2^-50 for any sensible `folds`.
    """
    digest = hashlib.blake2b(
        group.encode(), key=bytes.fromhex(fold_key), digest_size=_DIGEST_BYTES, person=b"onggi-fold"
    )
    return int.from_bytes(digest.digest(), "big") % folds


def fold_group(scaffold: str, flat_key: str) -> str:
    """Returns what decides a compound's fold: its scaffold, or itself where it has no ring."""
    return scaffold or flat_key


def newest(dates: npt.NDArray[np.str_], share: float) -> npt.NDArray[np.bool_]:
    """Marks the newest share of the labels: what a time split judges a model on.

    A day is never divided, since a plate is measured in one: the mask holds whole days, as many as
    come closest to the share, and never every dated label. A label without a date cannot be called
    new and is never marked.

    Args:
        dates: ISO dates or empty texts, shape (n,).
        share: Of the dated labels, above 0 and below 1.

    Returns:
        True for the newest, shape (n,).

    Raises:
        ValueError: `share` is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError("share must lie between 0 and 1")
    dates = np.asarray(dates, dtype=np.str_)
    dated = dates != ""
    days, counts = np.unique(dates[dated], return_counts=True)
    if len(days) < 2:
        return np.zeros(len(dates), dtype=np.bool_)
    newer = np.cumsum(counts[::-1])[::-1]  # labels of this day or later
    first = 1 + int(np.argmin(np.abs(newer[1:] - share * counts.sum())))
    marked: npt.NDArray[np.bool_] = dated & (dates >= days[first])
    return marked
