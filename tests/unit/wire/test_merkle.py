"""The trees of RFC 6962; known values are those of the certificate-transparency repository."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import merkle

# merkletree/merkle_tree_test.cc of github.com/google/certificate-transparency.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = [
    (0, 1, ()),
    (
        0,
        8,
        (
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ),
    ),
    (
        5,
        8,
        (
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ),
    ),
    (2, 3, ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",)),
    (
        1,
        5,
        (
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ),
    ),
]
PROOFS = [
    (1, 1, ()),
    (
        1,
        8,
        (
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ),
    ),
    (
        6,
        8,
        (
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ),
    ),
    (
        2,
        5,
        (
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ),
    ),
]
LEAVES = [merkle.leaf_hash(content) for content in INPUTS]
TREES = st.lists(st.binary(max_size=4), min_size=1, max_size=40).map(
    lambda contents: [merkle.leaf_hash(content) for content in contents]
)


def _hex(*texts: str) -> tuple[bytes, ...]:
    return tuple(map(bytes.fromhex, texts))


def _by_definition(leaves: list[bytes]) -> bytes:
    """MTH as section 2.1 of RFC 6962 writes it, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    halves = _by_definition(leaves[:k]) + _by_definition(leaves[k:])
    return hashlib.sha256(b"\1" + halves).digest()


def test_the_root_of_no_leaf() -> None:
    assert merkle.root([]) == hashlib.sha256(b"").digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_known_roots(size: int) -> None:
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size", "path"), PATHS)
def test_known_inclusion_proofs(index: int, size: int, path: tuple[str, ...]) -> None:
    assert merkle.inclusion_proof(LEAVES[:size], index) == _hex(*path)
    root = bytes.fromhex(ROOTS[size - 1])
    assert merkle.is_included(LEAVES[index], index, size, _hex(*path), root)


@pytest.mark.parametrize(("before", "size", "path"), PROOFS)
def test_known_consistency_proofs(before: int, size: int, path: tuple[str, ...]) -> None:
    assert merkle.consistency_proof(LEAVES[:size], before) == _hex(*path)
    old, new = _hex(ROOTS[before - 1], ROOTS[size - 1])
    assert merkle.is_consistent(before, size, old, new, _hex(*path))


@given(TREES)
def test_the_root_is_the_one_of_the_definition(leaves: list[bytes]) -> None:
    assert merkle.root(leaves) == _by_definition(leaves)


@given(TREES, st.data())
def test_every_leaf_of_any_tree_is_proved_and_no_other(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path, root = merkle.inclusion_proof(leaves, index), merkle.root(leaves)
    size = len(leaves)
    assert merkle.is_included(leaves[index], index, size, path, root)
    stranger = merkle.leaf_hash(b"a leaf that is not there")
    assert not merkle.is_included(stranger, index, size, path, root)
    assert not merkle.is_included(leaves[index], index, size, (*path, stranger), root)
    assert not merkle.is_included(leaves[index], size, size, path, root)
    for place in range(len(path)):
        altered = (*path[:place], stranger, *path[place + 1 :])
        assert not merkle.is_included(leaves[index], index, size, altered, root)
        assert not merkle.is_included(leaves[index], index, size, path[:place], root)


@given(TREES, st.data())
def test_any_two_sizes_of_a_tree_are_consistent_and_no_others(
    leaves: list[bytes], data: st.DataObject
) -> None:
    before = data.draw(st.integers(0, len(leaves)))
    size = len(leaves)
    path = merkle.consistency_proof(leaves, before)
    old, new = merkle.root(leaves[:before]), merkle.root(leaves)
    assert merkle.is_consistent(before, size, old, new, path)
    stranger = merkle.leaf_hash(b"another root")
    assert not merkle.is_consistent(before, size, stranger, new, path)
    if before:
        assert not merkle.is_consistent(before, size, old, stranger, path)
    assert not merkle.is_consistent(before, size, old, new, (*path, stranger))
    for place in range(len(path)):
        assert not merkle.is_consistent(before, size, old, new, path[:place])


def test_what_a_tree_does_not_have_cannot_be_asked_for() -> None:
    for index in (-1, 8):
        with pytest.raises(ValueError, match="none at"):
            merkle.inclusion_proof(LEAVES, index)
    for before in (-1, 9):
        with pytest.raises(ValueError, match="no earlier one"):
            merkle.consistency_proof(LEAVES, before)
    assert not merkle.is_consistent(9, 8, LEAVES[0], LEAVES[0], ())
    assert not merkle.is_consistent(3, 8, LEAVES[0], LEAVES[0], ())
