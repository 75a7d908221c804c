"""When the demo is over, and what stops it."""

import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from rich.console import Console

from agent.demo.parties import Party
from agent.demo.run import Wishes, run
from agent.demo.watching import Glance, finished
from agent.errors import Stop

CONSORTIUM: dict[str, Any] = {
    "plans": [{"plan_id": "demo", "state": "finished"}],
    "rounds": [{"state": "aborted"}, {"state": "aggregated"}, {"state": "aggregated"}],
    "releases": [{"release_id": "r1"}, {"release_id": "r2"}],
}


def _glance(release: str, served: str = "r2", acknowledged: int = 2) -> Glance:
    return Glance("silo-a", "waiting", 1, 0, 2, acknowledged, release, served)


@pytest.mark.parametrize(
    ("glance", "over"),
    [
        (_glance("r2 active"), True),
        (_glance("r2 refused", "r1"), True),  # a gate that does its job ends the demo, too
        (_glance("r2 rolled back", "r1"), True),
        (_glance("r2 trial"), False),
        (_glance("r1 active", "r1"), False),
        (_glance("r2 active", "r1"), False),
        (_glance("r2 active", acknowledged=1), False),
    ],
)
def test_over_when_every_silo_has_decided(glance: Glance, over: bool) -> None:
    assert finished([_glance("r2 active"), glance], CONSORTIUM) is over


def test_not_over_while_rounds_go_on_or_the_aggregator_is_away() -> None:
    running = {**CONSORTIUM, "plans": [{"plan_id": "demo", "state": "running"}]}
    assert not finished([_glance("r2 active")], running)
    assert not finished([_glance("r2 active")], None)


def test_a_party_that_says_stop_is_not_started_again(tmp_path: Path) -> None:
    log = tmp_path / "party.log"
    log.write_text("first\nonggi: mend the configuration\n")
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(78)"])
    process.wait()
    with pytest.raises(Stop, match="silo-a stopped: onggi: mend the configuration"):
        Party("silo-a", ("agent",), log, process).keep_alive()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(Stop, match="is not empty"):
        run(tmp_path, None, Console(quiet=True), Event(), Wishes())
