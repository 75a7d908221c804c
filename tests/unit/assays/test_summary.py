from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.assays.changes import Changes
from agent.assays.curate import Curated
from agent.assays.parts import Source, write_part
from agent.assays.quorum import Quorum
from agent.assays.snapshot import build_snapshot
from agent.assays.summary import SnapshotSummary, summarize
from agent.errors import Refused
from agent.records import Assay, Compound, Measurement, Place, SetAside

_KEY = "ab" * 32
_QUORUM = Quorum(labels=3, uncensored=2, each_class=1)
Row = tuple[str, float, str]  # compound, value, measurement id
Parts = list[tuple[str, Path]]


def _part(folder: Path, rows: Sequence[Row], *withdrawn: str) -> tuple[str, Path]:
    entries = [
        Measurement(
            *(Compound(name, "f", "CCO", 46.0), name, "t", "=", value, value, Assay(), "", number),
            Place(at),
            item=at,
        )
        for at, (name, value, number) in enumerate(rows)
    ]
    aside = [SetAside(Place(9), "retracted", "Why.", "", number, 99) for number in withdrawn]
    aside = [
        SetAside(Place(9), "unknown_unit", "Why.", "", entry.measurement_id[1:], 99)
        if entry.measurement_id.startswith("!")
        else entry
        for entry in aside
    ]
    curated = Curated(entries, aside, len(entries) + len(aside), 0, {"t": "regression"})
    write_part(folder, curated, Source("lab", f"lab/{folder.name}", "0" * 64))
    return "lab", folder


def _frozen(
    folder: Path, parts: Parts, previous: Path | None = None, limit: float | None = None
) -> SnapshotSummary:
    snapshot = build_snapshot(parts, _KEY)
    limits = {"t": limit} if limit is not None else {}
    summary = summarize(snapshot, parts, _QUORUM, limits, previous)
    snapshot.save(folder)
    summary.save(folder)
    assert SnapshotSummary.load(folder) == summary
    return summary


def test_the_first_snapshot_is_all_new(tmp_path: Path) -> None:
    rows = [("a", 1.0, "m1"), ("a", 2.0, "m1"), ("b", 3.0, ""), ("b", 3.0, "")]
    found = _frozen(tmp_path / "s", [_part(tmp_path / "p", rows)])
    assert found.changes == Changes(added=3)
    assert found.rows == {"replaced": 1, "used": 3}
    task = found.tasks["t"]
    assert (task.n, task.met, task.waits) == (2, False, "waits for 1 more labelled compounds")
    assert (task.drift, task.drifted) == (None, False)


def test_changes_are_told_against_the_last_snapshot(tmp_path: Path) -> None:
    first = [("a", 1.0, "m1"), ("b", 2.0, "m2"), ("c", 3.0, "m3"), ("d", 4.0, "m4"), ("e", 5.0, "")]
    old = _part(tmp_path / "old", first)
    _frozen(tmp_path / "s1", [old])
    later = [("a", 1.5, "m1"), ("f", 6.0, "m9"), ("e", 5.0, ""), ("d", 4.0, "m4")]
    new = _part(tmp_path / "new", later, "m2", "!m3")
    found = _frozen(tmp_path / "s2", [old, new], tmp_path / "s1")
    assert found.previous == "s1"
    assert found.changes == Changes(added=2, replaced=1, retracted=1, withdrawn=1, removed=0)
    again = _frozen(tmp_path / "s3", [old, new], tmp_path / "s2")
    assert again.changes == Changes()


def test_rows_of_a_file_that_changed_are_removed(tmp_path: Path) -> None:
    old = _part(tmp_path / "old", [("a", 1.0, "m1"), ("b", 2.0, ""), ("b", 2.0, "")])
    _frozen(tmp_path / "s1", [old])
    new = _part(tmp_path / "new", [("b", 2.0, "")])
    found = _frozen(tmp_path / "s2", [new], tmp_path / "s1")
    assert found.changes == Changes(removed=2)


def test_noisy_replicates_are_flagged(tmp_path: Path) -> None:
    rows = [(name, value, "") for name in "abc" for value in (1.0, 2.0)]
    part = _part(tmp_path / "p", rows)
    for limit, noisy in ((0.5, True), (0.8, False), (None, False)):
        task = _frozen(tmp_path / f"s{limit}", [part], limit=limit).tasks["t"]
        assert (task.replicated, task.noisy) == (3, noisy)
        assert task.replicate_sd == pytest.approx(0.5**0.5)


def test_labels_that_moved_are_told(tmp_path: Path) -> None:
    old = _part(tmp_path / "old", [(f"a{n}", n / 100, "") for n in range(200)])
    new = _part(tmp_path / "new", [(f"b{n}", 5 + n / 100, "") for n in range(200)])
    _frozen(tmp_path / "s1", [old])
    task = _frozen(tmp_path / "s2", [old, new], tmp_path / "s1").tasks["t"]
    assert task.drift == pytest.approx(0.5)
    assert task.drifted
    assert not _frozen(tmp_path / "s3", [old], tmp_path / "s1").tasks["t"].drifted


def test_a_last_snapshot_that_is_gone_is_as_good_as_none(tmp_path: Path) -> None:
    part = _part(tmp_path / "p", [("a", 1.0, "")])
    found = _frozen(tmp_path / "s", [part], tmp_path / "nowhere")
    assert (found.previous, found.changes) == ("", Changes(added=1))
    with pytest.raises(Refused, match="damaged_snapshot"):
        SnapshotSummary.load(tmp_path / "nowhere")


_ROWS = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from([1.0, 2.0]), st.sampled_from(["", "m1", "m2"])
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.lists(_ROWS, min_size=2, max_size=4), st.data())
def test_changes_are_those_of_comparing_every_row(
    files: list[list[Row]], data: st.DataObject
) -> None:
    places = st.lists(st.sampled_from(range(len(files))), min_size=1, unique=True)
    before, now = data.draw(places), data.draw(places)
    with TemporaryDirectory() as name:
        folder = Path(name)
        parts = [_part(folder / f"p{at}", rows) for at, rows in enumerate(files)]
        _frozen(folder / "s1", [parts[at] for at in before])
        found = _frozen(folder / "s2", [parts[at] for at in now], folder / "s1").changes
    old, new = ([row for at in order for row in files[at]] for order in (before, now))
    assert found == _compared(old, new)


def _compared(before: Sequence[Row], now: Sequence[Row]) -> Changes:
    old, new = (
        {number: row for row in rows for number in row[2:] if number} for rows in (before, now)
    )
    less, more = (Counter(row for row in rows if not row[2]) for rows in (before, now))
    return Changes(
        added=len(new.keys() - old.keys()) + (more - less).total(),
        replaced=sum(old[number] != new[number] for number in old.keys() & new.keys()),
        removed=len(old.keys() - new.keys()) + (less - more).total(),
    )
