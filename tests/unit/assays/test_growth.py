from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.assays import growth
from agent.assays.curate import Curated, Kind
from agent.assays.growth import grow
from agent.assays.parts import Source, write_part
from agent.assays.snapshot import Snapshot, build_snapshot
from agent.records import Assay, Compound, Measurement, Place, Qualifier, SetAside

_KEY = "ab" * 32
_KINDS: dict[str, Kind] = {"t": "regression", "u": "regression", "class": "classification"}
Row = tuple[str, str, Qualifier, float, str, str, str]
Part = tuple[str, tuple[Row, ...], tuple[tuple[str, str], ...]]
_NUMBERS = st.sampled_from(["", "", "m1", "m2", "m3", "m4"])
_ROWS = st.tuples(
    st.sampled_from("abcdefgh"),
    st.sampled_from([*_KINDS]),
    st.sampled_from(get_args(Qualifier)),
    st.sampled_from([0.0, 1.0, 0.1, 0.7, 3.3]),
    _NUMBERS,
    st.sampled_from(["", "2026-01-02", "2025-11-30"]),
    st.sampled_from(["CCO", "OCC", "C"]),  # tautomers share a key and may differ in SMILES
)
_WITHDRAWN = st.tuples(_NUMBERS, st.sampled_from(["retracted", "emptied", "unknown_unit"]))
_PARTS = st.tuples(
    st.sampled_from(["lab", "lims"]),
    st.lists(_ROWS, max_size=8).map(tuple),
    st.lists(_WITHDRAWN, max_size=2).map(tuple),
)


def _written(folder: Path, part: Part) -> tuple[str, Path]:
    store, rows, gone = part
    entries = [
        Measurement(
            Compound(name, f"flat-{name}", smiles, 46.0, f"group {name < 'd'}"),
            *(name, task, sign, value, value, Assay(), date, number, Place(at)),
            item=2 * at,
        )
        for at, (name, task, sign, value, number, date, smiles) in enumerate(rows)
    ]
    aside = [
        SetAside(Place(at), code, "Reason.", measurement_id=number, item=2 * at + 1)
        for at, (number, code) in enumerate(gone)
    ]
    write_part(folder, Curated(entries, aside, 0, 0, _KINDS), Source(store, folder.name, "0" * 64))
    return store, folder


def _grown(parts: Sequence[tuple[str, Path]]) -> Snapshot:
    """Grows a snapshot part by part, and compares each step with joining all parts."""
    before = build_snapshot(parts[:1], _KEY)
    for count in range(2, len(parts) + 1):
        grown = grow(before, parts[: count - 1], parts[:count], _KEY)
        assert grown is not None
        known = [before.compounds[place] if place >= 0 else None for place in grown.places]
        new = set(grown.snapshot.compounds) - set(before.compounds)
        assert known == [None if key in new else key for key in grown.snapshot.compounds]
        before = grown.snapshot
        whole = build_snapshot(parts[:count], _KEY)
        assert before._arrays().keys() == whole._arrays().keys()
        assert before.id == whole.id
    return before


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(_PARTS, min_size=2, max_size=4))
def test_growing_comes_to_what_joining_all_parts_does(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Part]
) -> None:
    root = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growth, "_SMALL", 100.0)
        patch.setattr(growth, "_FEW", 1_000)
        _grown([_written(root / str(at), part) for at, part in enumerate(parts)])


def _label(name: str, value: float, number: str = "") -> Row:
    return (name, "t", "=", value, number, "", "CCO")


def test_a_correction_moves_a_measurement_to_another_compound(tmp_path: Path) -> None:
    many = tuple(_label(f"k{at}", 1.0) for at in range(20))
    parts = [
        _written(tmp_path / "a", ("lab", (*many, _label("a", 1.0, "m1")), ())),
        _written(tmp_path / "b", ("lab", (_label("b", 5.0, "m1"),), ())),
    ]
    grown = _grown(parts)
    assert "a" not in grown.compounds
    assert grown.values[0] == 5.0


def test_what_did_not_only_become_more_is_joined_anew(tmp_path: Path) -> None:
    many = tuple(_label(f"k{at}", 1.0) for at in range(2_000))
    old = _written(tmp_path / "a", ("lab", many, ()))
    new = _written(tmp_path / "b", ("lab", (_label("a", 1.0),), ()))
    before = build_snapshot([old], _KEY)
    assert grow(before, [old], [old, new], _KEY) is not None
    assert grow(before, [old], [new, old], _KEY) is None
    assert grow(before, [old], [new], _KEY) is None
    most = _written(tmp_path / "c", ("lab", many[:1_500], ()))
    assert grow(before, [old], [old, most], _KEY) is None


def test_a_task_that_becomes_another_kind_is_joined_anew(tmp_path: Path) -> None:
    many = tuple(_label(f"k{at}", 1.0) for at in range(20))
    old = _written(tmp_path / "a", ("lab", many, ()))
    entry = Measurement(
        *(Compound("z", "z", "C", 1.0, "g"), "z", "t", "=", 1.0, 1.0, Assay(), "", "", Place(1))
    )
    folder = tmp_path / "b"
    write_part(folder, Curated([entry], [], 1, 0, {"t": "classification"}), Source("lab", "b", "0"))
    assert grow(build_snapshot([old], _KEY), [old], [old, ("lab", folder)], _KEY) is None
