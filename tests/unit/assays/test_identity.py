import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agent.assays import identity, identity_cache
from agent.assays.identity import Identifier
from agent.assays.identity_cache import IdentityCache
from agent.assays.identity_pool import Found, Pool, Wanted
from agent.assays.structures import identify
from agent.records import Compound, InvalidStructure

_SOME: list[Wanted] = [("CCO", "smiles"), ("nonsense", "smiles"), (" CCO ", "smiles")]


class _Counting(Pool):
    """A pool that remembers how often it was asked for what."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Wanted] = []

    def begin(self, wanted: Sequence[Wanted]) -> Callable[[], list[Found]]:
        self.asked += wanted
        return super().begin(wanted)


def _counted(path: Path | None) -> tuple[Identifier, _Counting]:
    identifier, pool = Identifier(path), _Counting()
    identifier._pool = pool
    return identifier, pool


def test_answers_are_those_of_identify_in_the_given_order() -> None:
    with Identifier() as identifier:
        found = identifier.identify_all([*_SOME, *_SOME[::-1]])
    assert found == [identify(*one) for one in [*_SOME, *_SOME[::-1]]]
    assert isinstance(found[0], Compound)
    assert found[0].fold_group
    assert isinstance(found[1], InvalidStructure)


def test_nothing_is_worked_out_twice(tmp_path: Path) -> None:
    first, pool = _counted(tmp_path / "a.sqlite3")
    found = first.identify_all(_SOME)
    assert first.identify_all(_SOME) == found
    assert pool.asked == _SOME
    second, pool = _counted(tmp_path / "a.sqlite3")
    assert second.identify_all(_SOME) == found
    assert pool.asked == []  # it read them from disk
    alone, pool = _counted(None)
    alone.identify_all(_SOME)
    alone.identify_all(_SOME)
    assert pool.asked == _SOME


def test_questions_may_overlap_and_nothing_is_worked_out_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone, pool = _counted(None)
    first, second = alone.begin(_SOME[:2]), alone.begin(_SOME)
    assert first() == [identify(*one) for one in _SOME[:2]]
    assert second() == [identify(*one) for one in _SOME]
    assert pool.asked == _SOME
    monkeypatch.setattr(identity, "_REMEMBERED", 1)  # the first answers are forgotten meanwhile
    alone, pool = _counted(None)
    first, other, second = alone.begin(_SOME[:1]), alone.begin(_SOME[1:]), alone.begin(_SOME[:1])
    assert [*first(), *other(), *second()] == [identify(*one) for one in (*_SOME, _SOME[0])]


def test_another_program_starts_the_cache_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sqlite3"
    wanted = _SOME[0]
    IdentityCache(path).put({wanted: identify(*wanted)})
    assert IdentityCache(path).get([wanted]) == {wanted: identify(*wanted)}
    monkeypatch.setattr(identity_cache, "origin", lambda: "another RDKit")
    assert IdentityCache(path).get([wanted]) == {}


def test_a_damaged_cache_starts_anew_and_a_missing_folder_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    path.write_bytes(b"this is no database" * 1000)
    first, _ = _counted(path)
    assert first.identify_all(_SOME) == [identify(*one) for one in _SOME]
    second, pool = _counted(path)
    assert second.identify_all(_SOME) == [identify(*one) for one in _SOME]
    assert pool.asked == []
    nowhere, _ = _counted(tmp_path / "none" / "a.sqlite3")
    assert nowhere.identify_all(_SOME) == [identify(*one) for one in _SOME]


def test_what_a_kill_leaves_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite3"
    cache = IdentityCache(path)
    cache.put({_SOME[0]: identify(*_SOME[0])})
    with sqlite3.connect(path) as unfinished:  # never committed
        unfinished.execute("DELETE FROM identity")
        unfinished.rollback()
    unfinished.close()
    assert cache.get(_SOME[:1])


def test_molblocks_and_smiles_are_told_apart(tmp_path: Path) -> None:
    with Identifier(tmp_path / "a.sqlite3") as identifier:
        smiles, block = identifier.identify_all([("CCO", "smiles"), ("CCO", "molblock")])
    assert isinstance(smiles, Compound)
    assert isinstance(block, InvalidStructure)


@pytest.mark.slow
def test_several_processes_give_the_same_answers_in_order() -> None:
    wanted: list[Wanted] = [("C" * (n % 40 + 1) + "O" * (n % 3), "smiles") for n in range(350)]
    pool = Pool(2, worth_it=1)
    try:
        assert pool.begin(wanted)() == Pool().begin(wanted)()
        assert pool._spread._executor is not None
        for process in list(pool._spread._executor._processes.values()):
            process.kill()  # a structure that crashes RDKit
        assert pool.begin(wanted)() == Pool().begin(wanted)()
        assert pool._spread._executor is None
    finally:
        pool.close()
