import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from agent.errors import TryLater
from agent.features.cache import FeatureCache
from agent.features.fast import Featurizer
from agent.features.rows import Features
from agent.features.spec import default_spec

_SPEC = default_spec()
_SMILES = ["CCO", "c1ccccc1", "CCN", "CC(=O)O"]
_KEYS = ["a", "b", "c", "d"]


def _same(first: Features, second: Features) -> bool:
    return all(
        np.array_equal(getattr(first, part), getattr(second, part))
        for part in ("indptr", "indices", "values", "dense")
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features.sqlite3"


@pytest.fixture
def expected() -> Features:
    return Featurizer(_SPEC).featurize_smiles(_SMILES)[0]


def test_first_and_second_time_give_what_the_featurizer_gives(
    path: Path, expected: Features
) -> None:
    assert _same(FeatureCache(path, _SPEC).get_or_compute(_KEYS, _SMILES), expected)
    assert _same(FeatureCache(path, _SPEC).get_or_compute(_KEYS, _SMILES), expected)


def test_a_stored_compound_is_not_featurized_again(path: Path, expected: Features) -> None:
    cache = FeatureCache(path, _SPEC)
    cache.get_or_compute(_KEYS, _SMILES)
    assert _same(cache.get_or_compute(_KEYS, ["not read"] * 4), expected)


def test_order_repeats_and_new_compounds_mix(path: Path, expected: Features) -> None:
    cache = FeatureCache(path, _SPEC)
    cache.get_or_compute(["c", "a"], ["CCN", "CCO"])
    mixed = cache.get_or_compute(["b", "c", "b", "a"], ["c1ccccc1", "CCN", "c1ccccc1", "CCO"])
    assert _same(mixed, expected.take(np.array([1, 2, 1, 0])))


def test_nothing_asked_is_nothing_given(path: Path) -> None:
    assert len(FeatureCache(path, _SPEC).get_or_compute([], [])) == 0


def test_specs_share_the_file_and_not_the_rows(path: Path) -> None:
    other = _SPEC.model_copy(update={"hash_size": 256})
    FeatureCache(path, _SPEC).get_or_compute(_KEYS, _SMILES)
    folded = FeatureCache(path, other).get_or_compute(_KEYS, _SMILES)
    assert _same(folded, Featurizer(other).featurize_smiles(_SMILES)[0])


def test_a_refused_structure_is_an_unusable_row_and_is_not_stored(path: Path) -> None:
    cache = FeatureCache(path, _SPEC)
    assert cache.get_or_compute(["a", "x"], ["CCO", "C1CC"]).usable.tolist() == [True, False]
    assert cache.get_or_compute(["x"], ["CCC"]).usable.tolist() == [True]


def test_a_damaged_file_is_started_anew(path: Path, expected: Features) -> None:
    path.write_bytes(b"this is no database" * 500)
    assert _same(FeatureCache(path, _SPEC).get_or_compute(_KEYS, _SMILES), expected)


def test_a_page_damaged_after_opening_is_started_anew(path: Path) -> None:
    cache = FeatureCache(path, _SPEC)
    many = ["C" * n for n in range(1, 120)]
    before = cache.get_or_compute(many, many)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    assert _same(cache.get_or_compute(many, many), before)


def test_a_damaged_row_is_computed_again(path: Path, expected: Features) -> None:
    cache = FeatureCache(path, _SPEC)
    cache.get_or_compute(_KEYS, _SMILES)
    for broken in (b"", b"short", b"\xff" * 600):
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("UPDATE feature_row SET content = ?", (broken,))
        assert _same(cache.get_or_compute(_KEYS, _SMILES), expected)


def test_keys_and_structures_must_pair_up(path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        FeatureCache(path, _SPEC).get_or_compute(["a", "b"], ["CCO"])


def test_a_file_that_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TryLater, match="free disk space"):
        FeatureCache(tmp_path / "no folder" / "features.sqlite3", _SPEC)


@pytest.mark.slow
def test_several_processes_give_the_same(path: Path) -> None:
    smiles = ["C" * (number % 40 + 1) for number in range(1_100)]
    keys = [str(number) for number in range(1_100)]
    several = FeatureCache(path, _SPEC, processes=2).get_or_compute(keys, smiles)
    assert _same(several, Featurizer(_SPEC).featurize_smiles(smiles)[0])
