import json
from typing import TYPE_CHECKING, Any

from agent.keeper import site_report
from agent.keeper.orders import Coverage, Result, SnapshotOrder
from agent.ledger import egress
from tests.kit.departures import leaf
from tests.unit.keeper.test_rollout import Stage

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


def test_a_new_silo_has_nothing_to_tell(house: "House") -> None:
    assert site_report.report(house.ledger) == {
        "releases": [],
        "contribution": {"rounds": 0, "updates": 0, "bytes_sent": 0, "last_sent": None},
        "endpoints": {},
    }


def test_a_release_says_what_each_head_came_to(house: "House") -> None:
    stage = Stage(house)
    stage.activate(1)
    stage.announce(2)
    stage.book(2, score=1.1, active=0.5)
    releases: Any = site_report.report(house.ledger)["releases"]
    release = releases[0]
    assert (release["version"], release["state"]) == (2, "refused")
    assert str(release["reason"]) != ""
    (head,) = release["heads"]
    assert (head["endpoint"], head["before"], head["after"]) == ("logbb", 0.5, 1.1)
    assert head["verdict"] == "worse"


def test_the_newest_release_comes_first(house: "House") -> None:
    stage = Stage(house)
    for version in (1, 2):
        stage.announce(version)
    releases: Any = site_report.report(house.ledger)["releases"]
    assert [one["version"] for one in releases] == [2, 1]
    assert all("reason" not in one for one in releases)


def test_the_contribution_is_counted(house: "House") -> None:
    house.ledger.add("round", "r1", "announced", house.now, {})
    house.ledger.add("update", "r1", "drafted", house.now, {})
    for state in ("sealed", "delivered", "acknowledged"):
        house.later(60)
        house.ledger.move(house.item("update", "r1"), state, house.now)
    line = leaf(1, house.now)
    egress.book(house.ledger, line)
    assert site_report.report(house.ledger)["contribution"] == {
        "rounds": 1,
        "updates": 1,
        "bytes_sent": line.bytes,
        "last_sent": house.item("update", "r1").changed,
    }


def test_coverage_is_that_of_the_newest_snapshot(house: "House") -> None:
    detail = {"store": "files", "part": "p1", "used": 3}
    house.ledger.add("file", "a", "found", house.now, detail)  # type: ignore[arg-type]
    for state in ("queued", "ingested"):
        house.ledger.move(house.item("file", "a"), state, house.now)
    house.snapshots.order(house.consortium.plan_document(), house.now)
    order = house.workers.order(house.ledger.find("job")[-1])
    assert isinstance(order, SnapshotOrder)
    coverage = Coverage(compounds=2, measurements=3, newest="2024-05-06", by_year={"2024": 2})
    house.snapshots.book_frozen(order, Result(compounds=2, coverage={"logbb": coverage}), house.now)
    assert site_report.report(house.ledger)["endpoints"] == {
        "logbb": {
            "compounds": 2,
            "measurements": 3,
            "newest": "2024-05-06",
            "by_year": {"2024": 2},
        }
    }


def test_no_file_and_no_store_is_named(house: "House") -> None:
    house.ledger.add("file", "secret/project-x.csv", "found", house.now, {"store": "secret"})
    Stage(house).activate(1)
    text = json.dumps(site_report.report(house.ledger))
    assert "secret" not in text
    assert "project" not in text
