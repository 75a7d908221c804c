from pathlib import Path
from typing import TYPE_CHECKING

from agent.boxes import Inbox
from agent.errors import Refused
from tests.unit.exchange.test_stick import Stick

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home


def test_releases_come_in_from_a_folder(home: "Home", tmp_path: Path) -> None:
    home.enrol()
    (tmp_path / "elsewhere").mkdir()
    stick = Stick(tmp_path / "elsewhere")
    assert "Brought 2 file(s)" in home.said("import-releases", str(stick.folder))
    assert [letter.kind for letter in Inbox(home.paths.inbox).letters()] == ["stable"]


def test_a_folder_without_releases_is_said(home: "Home", tmp_path: Path) -> None:
    home.enrol()
    error = home.error("import-releases", str(tmp_path))
    assert isinstance(error, Refused)
    assert "release export" in str(error)
