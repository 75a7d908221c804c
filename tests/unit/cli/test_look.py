import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.clock import now, to_text
from agent.errors import Stop
from agent.ledger import egress
from agent.ledger.book import Ledger, Score
from agent.releases import folder
from tests.kit.cards import write_release
from tests.kit.consortium import START
from tests.kit.departures import leaf

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home


@pytest.fixture
def enrolled(home: "Home") -> "Home":
    """A silo with one refused file, one update that left, and one release."""
    home.enrol()
    with Ledger(home.paths.ledger) as ledger:
        ledger.add("file", "files/a.csv", "found", START, {"store": "files"})
        item = ledger.get("file", "files/a.csv")
        assert item is not None
        ledger.move(item, "refused", START, "The file is empty; save it again.")
        egress.book(ledger, leaf(1, START, b"x" * 1226))
        ledger.add("release", "r1", "announced", START, {"snapshot": "s1"})
        ledger.put_scores("local", "s1", [Score("logbb", "MAE", 0.75, 40, 10)])
        ledger.put_scores(
            "r1", "s1", [Score("logbb", "MAE", 0.5, 40, 10), Score("ames", "1-AUC", None, 3, 0)]
        )
    return home


def test_the_status_names_what_is_wrong(enrolled: "Home") -> None:
    said = " ".join(enrolled.said("status").split())  # as wrapped for a narrow terminal
    assert "Silo silo-a" in said
    assert "files/a.csv The file is empty; save it again." in said
    assert "Sealed to leave: 1,234 bytes in 1 envelope(s)." in said
    assert "0.750" in said
    assert "0.500" in said
    assert "Traceback" not in said


def test_the_status_for_machines(enrolled: "Home") -> None:
    report = enrolled.json("status")
    assert report["stages"]["files"]["counts"] == {"refused": 1}
    assert report["egress"] == {"lines": 1, "envelopes": 1, "bytes": 1234}
    assert report["models"][0]["tasks"][1]["local"] == 0.75
    assert (report["keeper"], report["courier"], report["predict"]) == (None, None, None)


def test_the_status_says_why_each_head_is_what_it_is(enrolled: "Home") -> None:
    assert enrolled.json("status")["heads"] == []
    write_release(enrolled.paths.releases, "r1")
    folder.activate(enrolled.paths.releases, "r1")
    (average, *_) = enrolled.json("status")["heads"]
    assert average["task"] == "logd"
    assert average["choice"] == "average"
    assert average["shares"] == {"federated": 0.5, "personal": 0.5}
    assert "logd average: 50% the consortium's model" in enrolled.said("status")


def test_other_services_tell_of_themselves(enrolled: "Home") -> None:
    at = to_text(now())
    keeper = {"at": at, "status": {"job": {"id": "round-r1"}}}
    courier = {"updated": at, "up_error": "The proxy says 407.", "last_error": "An old one."}
    predict = {"time": at, "host": "127.0.0.1", "port": 8600}
    (enrolled.paths.status / "keeper.json").write_text(json.dumps(keeper))
    (enrolled.paths.courier / "status.json").write_text(json.dumps(courier))
    (enrolled.paths.predict / "status.json").write_text(json.dumps(predict))
    assert enrolled.json("status")["keeper"] == {"at": at}
    said = enrolled.said("status")
    assert "✓ keeper: works on round-r1" in said
    assert "✓ courier: The proxy says 407." in said
    assert "An old one." not in said
    assert "✓ predict: http://127.0.0.1:8600 serves no release yet" in said


@pytest.mark.parametrize(
    ("age", "says"),
    [
        (timedelta(hours=5), "has been silent for 5 hours; is it running?"),
        (timedelta(seconds=100), "has been silent for 1"),
        ("now", "left a damaged status file"),
        ("", "has not run yet"),
    ],
)
def test_a_service_that_does_not_live_is_wrong(
    enrolled: "Home", age: timedelta | str, says: str
) -> None:
    written = age if isinstance(age, str) else to_text(now() - age)
    (enrolled.paths.status / "keeper.json").write_text(json.dumps({"at": written}))
    assert f"✗ keeper: {says}" in enrolled.said("status")
    assert enrolled.json("status")["services"]["keeper"]["alive"] is False


def test_a_damaged_status_file_is_passed_over(enrolled: "Home") -> None:
    (enrolled.paths.courier / "status.json").write_text("half a li")
    assert enrolled.json("status")["courier"] is None


def test_before_enrolment_and_before_the_first_start(home: "Home") -> None:
    home.paths.create()
    assert "not enrolled" in str(home.error("status"))
    home.enrol()
    error = home.error("status")
    assert isinstance(error, Stop)
    assert "no ledger" in str(error)


def test_file_names_are_no_markup(home: "Home") -> None:
    home.enrol()
    with Ledger(home.paths.ledger) as ledger:
        ledger.add("file", "files/[/bold].csv", "found", START, {"store": "files"})
        item = ledger.get("file", "files/[/bold].csv")
        assert item is not None
        ledger.move(item, "refused", START, "Mend [/] it.")
    said = " ".join(home.said("status").split())
    assert "files/[/bold].csv Mend [/] it." in said


def test_a_frozen_channel_shows(home: "Home") -> None:
    home.enrol()
    with Ledger(home.paths.ledger) as ledger:
        assert "nothing newer was heard" not in home.said("status")
        ledger.put_document("repository", "fresh until", b"2026-01-02T03:04:05Z", START)
    assert "nothing newer was heard than what held until 2026-01-02T03:04" in home.said("status")
