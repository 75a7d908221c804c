"""Folds that are a keyed function of the structure, the same at every silo."""

import hashlib

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
