from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused, Stop
from agent.releases import folder
from tests.kit.cards import write_release

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home


@pytest.fixture
def served(home: "Home") -> "Home":
    home.enrol()
    for name in ("r1", "r2"):
        write_release(home.paths.releases, name)
    folder.activate(home.paths.releases, "r2")
    return home


def test_the_page_of_the_active_release(served: "Home", tmp_path: Path) -> None:
    said = served.said("card", "--html", str(tmp_path / "card.html"))
    assert "Written to" in said
    assert "Release r2, version 3" in (tmp_path / "card.html").read_text()


def test_a_card_as_json(served: "Home") -> None:
    card = served.json("card", "--release", "r1")
    assert card["release_id"] == "r1"
    assert card["tasks"][0]["ways"][0] == {"name": "federated", "share": 0.5, "error": 0.42}


def test_what_cannot_be_shown_is_refused_by_name(served: "Home", tmp_path: Path) -> None:
    error = served.error("card", "--release", "r9")
    assert isinstance(error, Refused)
    assert error.code == "no_card"
    missing = served.error("card", "--html", str(tmp_path / "none" / "card.html"))
    assert isinstance(missing, Stop)


def test_before_the_first_release(home: "Home") -> None:
    home.enrol()
    assert "No release is active yet" in str(home.error("card"))
