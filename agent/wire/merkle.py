"""Merkle trees of RFC 6962, section 2.1: roots, and proofs of inclusion and consistency.

Leaves are hashed behind a zero byte and nodes behind a one, so that no node passes for a leaf.
Hashes are 32 bytes; a tree is the sequence of its leaves' hashes. The verifiers follow RFC 9162,
sections 2.1.3.2 and 2.1.4.2.
"""

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(content: bytes) -> bytes:
    """Returns the hash of a leaf's content."""
    return hashlib.sha256(b"\0" + content).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Returns the root over leaf hashes; that of no leaf is the hash of no bytes."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    # Level by level is the same tree: a node without a neighbour moves up as it is.
    while len(level) > 1:
        odd = [level[-1]] if len(level) % 2 else []
        level = [_node(*pair) for pair in zip(level[::2], level[1::2], strict=False)] + odd
    return level[0]


def _split(size: int) -> int:
    """Returns the largest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Returns the audit path of a leaf, from the bottom up (PATH of RFC 6962).

    Raises:
        ValueError: The tree has no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise ValueError(f"a tree of {len(leaves)} leaves has none at {index}")
    path: list[bytes] = []
    while len(leaves) > 1:
        cut = _split(len(leaves))
        if index < cut:
            path.append(root(leaves[cut:]))
            leaves = leaves[:cut]
        else:
            path.append(root(leaves[:cut]))
            leaves, index = leaves[cut:], index - cut
    return tuple(reversed(path))


def consistency_proof(leaves: Sequence[bytes], before: int) -> tuple[bytes, ...]:
    """Proves that the first `before` leaves are the tree of that size (PROOF of RFC 6962).

    Raises:
        ValueError: `before` is more than there is.
    """
    if not 0 <= before <= len(leaves):
        raise ValueError(f"a tree of {len(leaves)} leaves has no earlier one of {before}")
    path: list[bytes] = []
    known = True  # the verifier has the root of what is left: it is the old tree itself
    while before not in (0, len(leaves)):
        cut = _split(len(leaves))
        if before <= cut:
            path.append(root(leaves[cut:]))
            leaves = leaves[:cut]
        else:
            path.append(root(leaves[:cut]))
            leaves, before, known = leaves[cut:], before - cut, False
    return (*(() if known else (root(leaves),)), *reversed(path))


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> bool:
    """Tells whether the audit path leads from the leaf's hash to the root.

    Args:
        leaf: The leaf's hash.
        index: Its place, from 0.
        size: How many leaves the tree has.
        path: What `inclusion_proof` gave.
        expected: The root.
    """
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if place % 2 or place == last:
            found = _node(step, found)
            place, last = _up_the_edge(place, last)
        else:
            found = _node(found, step)
        place, last = place >> 1, last >> 1
    return last == 0 and found == expected


def is_consistent(
    before: int, size: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Tells whether the tree of `size` leaves begins with the one of `before` leaves."""
    if not 0 < before < size:  # of nothing, or of itself, there is nothing to prove
        same = old_root == (EMPTY_ROOT if before == 0 else new_root)
        return 0 <= before <= size and same and not path
    # A full tree is a node of the larger one: the verifier has its hash, the proof leaves it out.
    steps = [old_root, *path] if before & (before - 1) == 0 else list(path)
    if not steps:
        return False
    place, last = before - 1, size - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if place % 2 or place == last:
            old, new = _node(step, old), _node(step, new)
            place, last = _up_the_edge(place, last)
        else:
            new = _node(new, step)
        place, last = place >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _up_the_edge(place: int, last: int) -> tuple[int, int]:
    """Goes up from a node without a neighbour to where it is a right child, or the root."""
    while place % 2 == 0 and place:
        place, last = place >> 1, last >> 1
    return place, last
