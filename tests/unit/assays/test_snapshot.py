import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.assays.curate import Curated, Kind
from agent.assays.parts import Source, write_part
from agent.assays.snapshot import Snapshot, build_snapshot
from agent.errors import Refused
from agent.records import Assay, Compound, Measurement, Place, Qualifier, SetAside

_KEY = "ab" * 32
Label = tuple[str, str, Qualifier, float, str, str]


def _part(folder: Path, labels: Sequence[Label], kind: Kind = "regression") -> tuple[str, Path]:
    """A part of labels (compound, task, qualifier, value, measurement id, date)."""
    entries = [
        Measurement(
            Compound(name, f"flat-{name}", "CCO", 46.0),
            name,
            task,
            sign,
            value,
            value,
            Assay(),
            date,
            number,
            Place(at),
            item=at,
        )
        for at, (name, task, sign, value, number, date) in enumerate(labels)
    ]
    kinds: dict[str, Kind] = {entry.task: kind for entry in entries}
    curated = Curated(entries, [], len(entries), 0, kinds)
    write_part(folder, curated, Source("lab", folder.name, "0" * 64))
    return "lab", folder


def _label(
    name: str, value: float, sign: Qualifier = "=", number: str = "", date: str = ""
) -> Label:
    return (name, "t", sign, value, number, date)


def test_replicates_become_their_median_with_n_sd_and_latest_date(tmp_path: Path) -> None:
    labels = [_label("a", value, date=f"2026-01-0{value:.0f}") for value in (1.0, 2.0, 6.0)]
    found = build_snapshot([_part(tmp_path / "p", labels)], _KEY)
    assert (found.values.tolist(), found.counts.tolist()) == ([2.0], [3])
    assert found.spreads[0] == pytest.approx(np.std([1, 2, 6], ddof=1), rel=1e-6)
    assert found.dates.tolist() == ["2026-01-06"]


@pytest.mark.parametrize(
    ("signs", "expected"),
    [("=<", 0), ("<<=", -1), (">>=", 1), (">", 1), ("<=>", 0), ("==<<>", 0)],
)
def test_most_common_qualifier_wins_and_ties_prefer_equality(
    tmp_path: Path, signs: str, expected: int
) -> None:
    known: dict[str, Qualifier] = {"=": "=", "<": "<", ">": ">"}
    labels = [_label("a", 1.0, known[sign]) for sign in signs]
    assert build_snapshot([_part(tmp_path / "p", labels)], _KEY).qualifiers.tolist() == [expected]


@pytest.mark.parametrize("signs", ["<>", "=<<>>"])
def test_limits_on_both_sides_equally_often_say_nothing(tmp_path: Path, signs: str) -> None:
    known: dict[str, Qualifier] = {"=": "=", "<": "<", ">": ">"}
    entries = [_label("a", 1.0, known[sign]) for sign in signs]
    found = build_snapshot([_part(tmp_path / "p", [*entries, _label("b", 1.0)])], _KEY)
    assert (found.compounds, found.conflicts) == (("b",), 1)


def test_later_measurement_with_the_same_number_replaces_the_earlier(tmp_path: Path) -> None:
    old = _part(tmp_path / "old", [_label("a", 1.0, number="m1"), _label("b", 1.0)])
    new = _part(tmp_path / "new", [_label("a", 9.0, number="m1"), _label("b", 3.0)])
    found = build_snapshot([old, new], _KEY)
    assert found.values.tolist() == [9.0, 2.0]
    elsewhere = build_snapshot([old, ("other", new[1])], _KEY)
    assert elsewhere.values.tolist() == [5.0, 2.0]


def _withdrawing(folder: Path, *withdrawn: SetAside) -> tuple[str, Path]:
    curated = Curated([], list(withdrawn), len(withdrawn), 0, {})
    write_part(folder, curated, Source("lab", folder.name, "0" * 64))
    return "lab", folder


@pytest.mark.parametrize("code", ["retracted", "unknown_unit"])
def test_a_later_row_withdraws_the_earlier_one(tmp_path: Path, code: str) -> None:
    old = _part(tmp_path / "old", [_label("a", 1.0, number="m1"), _label("b", 1.0, number="m2")])
    word = SetAside(Place(2), code, "Why.", "a", "m1")
    found = build_snapshot([old, _withdrawing(tmp_path / "new", word)], _KEY)
    assert found.compounds == ("b",)
    again = _part(tmp_path / "again", [_label("a", 7.0, number="m1")])
    found = build_snapshot([old, ("lab", tmp_path / "new"), again], _KEY)
    assert (found.compounds, found.values.tolist()) == (("a", "b"), [7.0, 1.0])


def test_another_store_or_a_row_without_a_number_withdraws_nothing(tmp_path: Path) -> None:
    old = _part(tmp_path / "old", [_label("a", 1.0, number="m1")])
    _, new = _withdrawing(tmp_path / "new", SetAside(Place(2), "retracted", "Why.", "a", "m1"))
    assert build_snapshot([old, ("other", new)], _KEY).compounds == ("a",)
    nameless = _withdrawing(tmp_path / "none", SetAside(Place(2), "retracted", "Why.", "a"))
    assert build_snapshot([old, nameless], _KEY).compounds == ("a",)


def test_within_a_file_the_last_word_counts_whatever_its_kind(tmp_path: Path) -> None:
    _, old = _part(tmp_path / "p", [_label("a", 1.0, number="m1"), _label("b", 2.0)])
    assert pl.read_parquet(old / "measurements.parquet")["item"].to_list() == [0, 1]
    _, folder = "lab", tmp_path / "q"
    entry = Measurement(
        *(Compound("a", "f", "CCO", 46.0), "a", "t", "=", 1.0, 1.0, Assay(), "", "m1", Place(3)),
        item=1,
    )
    aside = SetAside(Place(2), "retracted", "Why.", "a", "m1", item=0)
    curated = Curated([entry], [aside], 2, 0, {"t": "regression"})
    write_part(folder, curated, Source("lab", "q", "0" * 64))
    assert build_snapshot([("lab", folder)], _KEY).compounds == ("a",)


def test_corrected_compound_disappears_with_its_old_row(tmp_path: Path) -> None:
    old = _part(tmp_path / "old", [_label("a", 1.0, number="m1")])
    new = _part(tmp_path / "new", [_label("b", 1.0, number="m1")])
    assert build_snapshot([old, new], _KEY).compounds == ("b",)


def test_undecided_class_is_left_out_and_counted(tmp_path: Path) -> None:
    labels = [_label("a", 1.0), _label("a", 0.0), _label("b", 1.0), _label("b", 1.0)]
    found = build_snapshot([_part(tmp_path / "p", labels, "classification")], _KEY)
    assert (found.compounds, found.values.tolist(), found.conflicts) == (("b",), [1.0], 1)
    assert found.kinds == ("classification",)


def test_id_follows_the_content_and_survives_the_disk(tmp_path: Path) -> None:
    part = _part(tmp_path / "p", [_label("a", 1.0, ">"), _label("b", 2.0, date="2026-01-01")])
    found = build_snapshot([part], _KEY)
    found.save(tmp_path / found.id)
    again = Snapshot.load(tmp_path / found.id)
    assert again.id == found.id == build_snapshot([part], _KEY).id
    assert again.smiles == ("CCO", "CCO")
    changed = _part(tmp_path / "q", [_label("a", 1.5, ">"), _label("b", 2.0, date="2026-01-01")])
    assert build_snapshot([changed], _KEY).id != found.id
    assert build_snapshot([part], "cd" * 32, folds=97).id != found.id


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    labels = [_label(name, value) for name in "abc" for value in (1.0, 2.0, 4.0)]
    one = build_snapshot([_part(tmp_path / "p", labels)], _KEY)
    other = build_snapshot([_part(tmp_path / "q", labels[::-1])], _KEY)
    assert one.id == other.id


def test_no_parts_make_an_empty_snapshot(tmp_path: Path) -> None:
    found = build_snapshot([], _KEY)
    found.save(tmp_path / "s")
    assert Snapshot.load(tmp_path / "s").id == found.id
    assert len(found.rows) == len(found.compounds) == len(found.folds) == 0


def test_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    build_snapshot([], _KEY).save(tmp_path / "s")
    (tmp_path / "s" / "labels.npz").write_bytes(b"PK")
    for name in ("s", "nowhere"):
        with pytest.raises(Refused) as caught:
            Snapshot.load(tmp_path / name)
        assert caught.value.code == "damaged_snapshot"


def test_loading_needs_numpy_alone() -> None:
    code = (
        "import sys, agent.assays.snapshot\n"
        "heavy = {'polars', 'rdkit', 'torch', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_labels_alone_are_read_as_they_were_saved(tmp_path: Path) -> None:
    found = build_snapshot([_part(tmp_path / "p", [_label("a", 1.0), _label("b", 2.0)])], _KEY)
    found.save(tmp_path / "s")
    cols, values = Snapshot.load_values(tmp_path / "s")
    assert (cols.tolist(), values.tolist()) == ([0, 0], [1.0, 2.0])
    with pytest.raises(Refused, match="damaged_snapshot"):
        Snapshot.load_values(tmp_path / "nowhere")


def test_equal_numbers_of_two_stores_are_two_measurements(tmp_path: Path) -> None:
    _, first = _part(tmp_path / "p", [_label("a", 1.0, number="m1"), _label("b", 2.0, number="m2")])
    _, second = _part(tmp_path / "q", [_label("a", 3.0, number="m1")])
    found = build_snapshot([("lab", first), ("elsewhere", second)], _KEY)
    assert found.counts.tolist() == [2, 1]
