from typing import TYPE_CHECKING

from agent.keeper import status
from agent.ledger import egress
from agent.records import Json
from tests.kit.departures import leaf

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


def _stage(house: "House", name: str) -> dict[str, Json]:
    stages = status.report(house.ledger, "silo-a")["stages"]
    assert isinstance(stages, dict)
    stage = stages[name]
    assert isinstance(stage, dict)
    return stage


def _file(house: "House", name: str, part: str, read: int = 4) -> None:
    detail: dict[str, Json] = {"part": part, "read": read, "used": 2, "set_aside": 1}
    house.ledger.add("file", name, "found", house.now, {**detail, "blank": read - 3})
    for state in ("queued", "ingested"):
        house.ledger.move(house.item("file", name), state, house.now)


def test_a_new_silo_has_nothing_wrong(house: "House") -> None:
    report = status.report(house.ledger, "silo-a")
    assert report["silo"] == "silo-a"
    stages = report["stages"]
    assert isinstance(stages, dict)
    for stage in stages.values():
        assert isinstance(stage, dict)
        assert (stage["counts"], stage["last"]) == ({}, None)
        assert (stage["waits"], stage["wrong"]) == ([], [])
    assert report["egress"] == {"lines": 0, "envelopes": 0, "bytes": 0}


def test_the_account_adds_up_and_counts_a_renamed_file_once(house: "House") -> None:
    _file(house, "files/a.csv", "p1")
    _file(house, "files/renamed.csv", "p1")
    _file(house, "files/b.csv", "p2", read=7)
    account = status.measurements(house.ledger)
    assert account == {"read": 11, "used": 4, "set_aside": 2, "blank": 5}


def test_what_waits_and_what_is_wrong(house: "House") -> None:
    house.ledger.add("file", "files/a.csv", "found", house.now, {})
    house.ledger.add("file", "files/b.csv", "found", house.now, {})
    house.ledger.move(house.item("file", "files/b.csv"), "refused", house.now, "It is empty.")
    stage = _stage(house, "files")
    assert stage["counts"] == {"found": 1, "refused": 1}
    assert isinstance(stage["waits"], list)
    assert isinstance(stage["wrong"], list)
    assert [line["id"] for line in stage["waits"] if isinstance(line, dict)] == ["files/a.csv"]
    (wrong,) = stage["wrong"]
    assert isinstance(wrong, dict)
    assert (wrong["id"], wrong["why"]) == ("files/b.csv", "It is empty.")
    last = stage["last"]
    assert isinstance(last, dict)
    assert (last["id"], last["state"], last["why"]) == ("files/b.csv", "refused", "It is empty.")


def test_a_letter_that_was_not_believed_shows_its_reason(house: "House") -> None:
    house.bring("round", house.consortium.round())
    wrong = _stage(house, "letters")["wrong"]
    assert isinstance(wrong, list)
    assert isinstance(wrong[0], dict)
    assert wrong[0]["why"] == "No trusted plan has the id p1."


def test_a_long_list_is_cut_short_to_the_newest_faults(house: "House") -> None:
    for number in range(60):
        house.ledger.add("letter", f"{number:02}", "refused", house.now, {"reason": "No."})
    wrong = _stage(house, "letters")["wrong"]
    assert isinstance(wrong, list)
    assert len(wrong) < 60
    shown = {line["id"] for line in wrong if isinstance(line, dict)}
    assert "59" in shown
    assert "00" not in shown


def test_bytes_out_come_from_the_egress_log(house: "House") -> None:
    for number in (1, 2):
        egress.book(house.ledger, leaf(number, house.now, b"x" * 92))
    held = leaf(3, house.now).model_copy(update={"decision": "held", "bytes": 0})
    egress.book(house.ledger, held)
    expected = {"lines": 3, "envelopes": 2, "bytes": 200}
    assert status.report(house.ledger, "silo-a")["egress"] == expected


def test_the_snapshot_in_use_says_what_the_next_one_waits_for(house: "House") -> None:
    house.ledger.add("snapshot", "s1", "wanted", house.now, {})
    for state in ("frozen", "scored"):
        house.ledger.move(house.item("snapshot", "s1"), state, house.now)
    assert _stage(house, "snapshots")["waits"] == []
    house.ledger.explain(house.item("snapshot", "s1"), "4 new measurements wait for 96 more.")
    lines = _stage(house, "snapshots")["waits"]
    assert isinstance(lines, list)
    (waits,) = lines
    assert isinstance(waits, dict)
    assert waits["why"] == "4 new measurements wait for 96 more."
