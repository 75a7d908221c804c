import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.keeper.intake import Intake, Source
from agent.keeper.jobs import WORKER_DIED
from agent.keeper.orders import FileResult, IngestOrder, Result

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House

SETTLED_S = 3.0


class Desk:
    """Looks at the store again and again, on a clock of its own."""

    def __init__(self, house: "House") -> None:
        self.house = house
        self.at_s = 0.0

    def look(self, times: int = 1) -> bool:
        waiting = False
        for _ in range(times):
            self.at_s += SETTLED_S
            self.house.later(SETTLED_S)
            waiting = self.house.intake.look(self.house.now, self.at_s)
        return waiting

    def order(self) -> list[IngestOrder]:
        """Orders what was found and returns the new orders."""
        ledger = self.house.ledger
        before = {item.id for item in ledger.find("job")}
        self.house.intake.order(self.house.consortium.catalogue, (), self.house.now)
        found = [item for item in ledger.find("job") if item.id not in before]
        orders = [self.house.workers.order(item) for item in found]
        return [order for order in orders if isinstance(order, IngestOrder)]

    def read(self, *results: FileResult) -> None:
        with self.house.ledger.transaction():
            self.house.intake.book(results, self.house.now)

    def states(self) -> dict[str, str]:
        return {item.id: item.state for item in self.house.ledger.find("file")}


@pytest.fixture
def desk(house: "House") -> Desk:
    return Desk(house)


def _drop(house: "House", name: str, content: str = "a,b\n") -> Path:
    path = house.store / name
    path.write_text(content)
    return path


def _used(item: str, part: str = "p" * 32) -> FileResult:
    return FileResult(item=item, sha256="a" * 64, part=part, read=3, used=2, set_aside=1)


def test_a_new_file_is_read_once_it_rests(house: "House", desk: Desk) -> None:
    _drop(house, "a.csv")
    assert house.intake.busy  # nothing was looked at yet
    assert desk.look()
    assert desk.states() == {}
    assert house.intake.busy
    assert not desk.look()
    assert desk.states() == {"files/a.csv": "found"}
    (order,) = desk.order()
    assert [(f.item, f.path) for f in order.files] == [("files/a.csv", str(house.store / "a.csv"))]
    assert desk.order() == []
    assert house.intake.busy
    desk.read(_used("files/a.csv"))
    item = house.item("file", "files/a.csv")
    assert (item.state, item.detail["used"], item.detail["store"]) == ("ingested", 2, "files")
    assert not house.intake.busy


def test_a_restart_reads_nothing_twice(house: "House", desk: Desk) -> None:
    _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(_used("files/a.csv"))
    house.reopen()
    desk.look(3)
    assert desk.order() == []
    assert desk.states() == {"files/a.csv": "ingested"}


def test_a_file_that_grows_is_waited_for(house: "House", desk: Desk) -> None:
    path = _drop(house, "a.csv")
    for number in range(3):
        path.write_text("a,b\n" * (number + 2))
        assert desk.look()
    assert desk.states() == {}
    desk.look()
    assert desk.states() == {"files/a.csv": "found"}


def test_a_changed_file_is_read_again(house: "House", desk: Desk) -> None:
    path = _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(_used("files/a.csv"))
    path.write_text("a,b\n1,2\n")
    desk.look(2)
    item = house.item("file", "files/a.csv")
    assert (item.state, item.why, item.detail["size"]) == ("found", "it changed", 8)
    assert len(desk.order()) == 1


def test_a_file_that_changed_while_it_was_read_is_looked_at_again(
    house: "House", desk: Desk
) -> None:
    path = _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    path.write_text("a,b\n1,2\n")
    desk.read(FileResult(item="files/a.csv", changed=True))
    assert desk.order() == []  # what is known of it is old
    item = house.item("file", "files/a.csv")
    assert (item.state, item.why[:28]) == ("refused", "It changed while it was read")
    assert desk.look()
    assert desk.order() == []
    desk.look()
    (order,) = desk.order()
    assert order.files[0].size == 8


def test_a_file_that_changed_back_is_read_again(house: "House", desk: Desk) -> None:
    _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(FileResult(item="files/a.csv", changed=True))
    desk.look()
    assert len(desk.order()) == 1


def test_a_renamed_file_is_one_part(house: "House", desk: Desk) -> None:
    path = _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(_used("files/a.csv"))
    path.rename(house.store / "b.csv")
    desk.look(2)
    desk.order()
    desk.read(_used("files/b.csv"))
    house.snapshots.order(house.consortium.plan_document(), house.now)
    (snapshot,) = house.ledger.find("snapshot")
    assert snapshot.detail["parts"] == 1


def test_the_same_file_dropped_again_is_not_read_again(house: "House", desk: Desk) -> None:
    path = _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(_used("files/a.csv"))
    kept = path.stat()
    path.unlink()
    desk.look()
    _drop(house, "a.csv")
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    desk.look(2)
    assert desk.order() == []


def test_a_store_that_vanishes_and_returns(house: "House", desk: Desk) -> None:
    _drop(house, "a.csv")
    desk.look(2)
    away = house.store.with_name("away")
    house.store.rename(away)
    assert not desk.look()
    store = house.item("store", "files")
    assert store.state == "lost"
    assert str(house.store) in store.why
    (order,) = desk.order()  # it was found before
    desk.read(FileResult(item=order.files[0].item, code="gone", refused="The file went away."))
    assert desk.states() == {"files/a.csv": "refused"}
    away.rename(house.store)
    desk.look(2)
    assert house.state("store", "files") == "reached"
    assert house.item("store", "files").why == ""
    assert desk.states() == {"files/a.csv": "found"}  # same size, same time, and yet to be read
    assert len(desk.order()) == 1
    desk.read(_used("files/a.csv"))
    desk.look(2)
    assert desk.states() == {"files/a.csv": "ingested"}


def test_a_store_that_never_was_there(house: "House", desk: Desk) -> None:
    house.store.rmdir()
    assert not desk.look()
    assert house.state("store", "files") == "lost"
    assert not house.intake.busy


def test_a_refused_file_is_not_tried_until_it_changes(house: "House", desk: Desk) -> None:
    path = _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(FileResult(item="files/a.csv", code="unreadable_file", refused="Save it again."))
    desk.look(3)
    assert desk.order() == []
    assert house.item("file", "files/a.csv").why == "Save it again."
    path.write_text("better\n")
    desk.look(2)
    assert len(desk.order()) == 1


def test_a_link_out_of_the_store_is_refused_until_it_is_a_file(
    house: "House", desk: Desk, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n")
    link = house.store / "a.csv"
    link.symlink_to(secret)
    desk.look(2)
    item = house.item("file", "files/a.csv")
    assert (item.state, item.detail["code"]) == ("refused", "refused_path")
    assert "leaves the store" in item.why
    assert desk.order() == []
    link.unlink()
    shutil.copy(secret, link)
    desk.look(2)
    assert len(desk.order()) == 1


def test_other_files_of_a_store_are_passed_by(house: "House", desk: Desk) -> None:
    for name in (".hidden.csv", "~$a.csv", "a.csv.part", "notes.md"):
        _drop(house, name)
    assert not desk.look(2)
    assert desk.states() == {}


def test_many_files_are_packed_and_one_at_a_time_after_a_death(house: "House", desk: Desk) -> None:
    for number in range(3):
        _drop(house, f"{number}.csv")
    desk.look(2)
    (order,) = desk.order()
    assert len(order.files) == 3
    died = Result(refused_code=WORKER_DIED, refused="Its worker died 3 times.")
    house.intake.give_up(order, died, house.now)
    assert set(desk.states().values()) == {"found"}
    singles = desk.order()
    assert [[file.item for file in single.files] for single in singles] == [
        [f"files/{number}.csv"] for number in range(3)
    ]
    house.intake.give_up(singles[1], died, house.now)
    desk.read(_used("files/0.csv"), _used("files/2.csv", "q" * 32))
    assert desk.states() == {
        "files/0.csv": "ingested",
        "files/1.csv": "refused",
        "files/2.csv": "ingested",
    }
    poison = house.item("file", "files/1.csv")
    assert (poison.why, poison.detail["code"]) == ("Its worker died 3 times.", WORKER_DIED)
    assert not house.intake.busy


def test_a_fault_of_the_whole_store_refuses_all_at_once(house: "House", desk: Desk) -> None:
    for number in range(3):
        _drop(house, f"{number}.csv")
    desk.look(2)
    (order,) = desk.order()
    fault = Result(refused_code="bad_profile", refused="The profile has faults to correct.")
    house.intake.give_up(order, fault, house.now)
    assert set(desk.states().values()) == {"refused"}
    assert house.item("file", "files/0.csv").detail["code"] == "bad_profile"


def test_a_store_that_is_no_longer_configured_holds_nothing_up(house: "House", desk: Desk) -> None:
    _drop(house, "a.csv")
    desk.look(2)
    source = Source("others", "table", house.store, "")
    other = Intake([source], house.ledger, house.workers, house.paths.parts, 2.0)
    (house.store / "a.csv").unlink()
    other.look(house.now, 1.0)
    assert not other.busy


def test_results_of_files_that_nobody_waits_for_are_ignored(house: "House", desk: Desk) -> None:
    _drop(house, "a.csv")
    desk.look(2)
    desk.read(_used("files/a.csv"), _used("files/unknown.csv"))
    assert desk.states() == {"files/a.csv": "found"}


def test_another_catalogue_or_profile_reads_the_files_again(house: "House", desk: Desk) -> None:
    _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(FileResult(item="files/a.csv", part="p1", read=1, used=1))
    assert desk.order() == []
    newer = house.consortium.catalogue.model_copy(update={"version": 99})
    house.intake.order(newer, (), house.now)
    assert desk.states() == {"files/a.csv": "queued"}
    desk.read(FileResult(item="files/a.csv", part="p2", read=1, used=1))
    assert house.item("file", "files/a.csv").detail["part"] == "p2"


def test_what_was_read_of_a_file_stays_when_it_is_gone(house: "House", desk: Desk) -> None:
    _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(FileResult(item="files/a.csv", part="p1", read=1, used=1))
    house.intake.order(house.consortium.catalogue.model_copy(update={"version": 99}), (), house.now)
    desk.read(FileResult(item="files/a.csv", code="gone", refused="It went away."))
    item = house.item("file", "files/a.csv")
    assert (item.state, item.detail["part"], item.detail["used"]) == ("ingested", "p1", 1)


def test_a_file_that_never_rests_holds_learning_up_for_a_while_only(
    house: "House", desk: Desk
) -> None:
    assert house.intake.busy
    for number in range(220):
        _drop(house, "growing.csv", "a,b\n" * (number + 1))
        assert desk.look()
        if number == 100:
            assert house.intake.busy
    assert not house.intake.busy


def test_a_file_without_permission_is_read_once_it_may_be(
    house: "House", desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(FileResult(item="files/a.csv", code="no_permission", refused="Not allowed."))
    # Root may read everything, so the answer of the kernel is given here.
    monkeypatch.setattr(os, "access", lambda *_: False)
    desk.look(2)
    assert desk.states() == {"files/a.csv": "refused"}
    monkeypatch.undo()
    desk.look(2)
    assert desk.states() == {"files/a.csv": "found"}


def test_strange_names_pass_through_the_ledger_and_the_order(house: "House", desk: Desk) -> None:
    for name in ("a\nb.csv", "물질 µ.csv", "x..%2f..csv", "a'; DROP TABLE item;--.csv"):
        _drop(house, name)
    desk.look(2)
    (order,) = desk.order()
    assert all(Path(file.path).read_text() == "a,b\n" for file in order.files)
    assert {Path(file.path).parent for file in order.files} == {house.store}
    assert len(order.files) == 4


def test_a_name_that_is_not_utf8_is_refused_once_and_said(house: "House", desk: Desk) -> None:
    path = os.fsencode(house.store) + "/물질.csv".encode("cp949")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    desk.look(3)
    ((item, state),) = desk.states().items()
    assert state == "refused"
    assert item.endswith(".csv (not UTF-8)")
    found = house.ledger.get("file", item)
    assert found is not None
    assert "rename the file" in found.why
    assert desk.order() == []
    assert not house.intake.busy


FULL = FileResult(item="files/a.csv", code="passing_fault", refused="The disk is full.")


def test_a_full_disk_refuses_no_file_for_good(house: "House", desk: Desk) -> None:
    _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(FULL)
    assert house.item("file", "files/a.csv").why == "The disk is full."
    desk.look(19)  # 57 s
    assert desk.states() == {"files/a.csv": "refused"}
    desk.look()
    assert desk.states() == {"files/a.csv": "found"}
    desk.order()
    desk.read(_used("files/a.csv"))
    desk.look(50)
    assert desk.states() == {"files/a.csv": "ingested"}


def test_what_was_read_before_a_full_disk_stays_in_use(house: "House", desk: Desk) -> None:
    path = _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(_used("files/a.csv"))
    path.write_text("a,b\n1,2\n")
    desk.look(2)
    desk.order()
    desk.read(FULL)
    item = house.item("file", "files/a.csv")
    assert (item.state, item.detail["part"], item.detail["used"]) == ("ingested", "p" * 32, 2)
    desk.look(20)
    assert desk.states() == {"files/a.csv": "found"}


def test_a_clock_that_is_set_back_makes_no_file_wait(house: "House", desk: Desk) -> None:
    _drop(house, "a.csv")
    desk.look(2)
    desk.order()
    desk.read(FULL)
    house.later(-86400)
    desk.look()
    assert desk.states() == {"files/a.csv": "found"}


def test_the_order_of_parts_is_that_of_their_first_reading(house: "House", desk: Desk) -> None:
    """An old file that is dropped again must not undo a correction that came after it."""

    def drop(name: str, part: str, content: str) -> None:
        (house.store / name).write_text(content)
        desk.look(2)
        desk.order()
        desk.read(_used(f"files/{name}", part).model_copy(update={"sha256": content}))

    def parts() -> list[str]:
        return [Path(part.folder).name for part in house.snapshots._current_parts()]

    plan = house.consortium.plan_document()
    drop("old.csv", "p1", "old")
    drop("correction.csv", "p2", "corrected")
    house.snapshots.order(plan, house.now)
    os.utime(house.store / "old.csv", (1, 1))  # the very same, dropped again
    drop("old.csv", "p1", "old")
    assert parts() == ["p1", "p2"]
    drop("copy of old.csv", "p1", "old")
    drop("old.csv", "p3", "other")
    assert parts() == ["p1", "p2", "p3"]  # the copy keeps the place of what it holds
    drop("old.csv", "p1", "old")
    assert parts() == ["p1", "p2"]
    house.snapshots.order(plan, house.now)
    assert len(house.ledger.find("snapshot")) == 1
