"""The READMEs' part for IT; tests/system/test_walls.py follows it word for word."""

from pathlib import Path
from unicodedata import east_asian_width

import pytest

from agent import __version__
from tests.kit.readme import ENGLISH, KOREAN, commands, for_it

SCREEN_LINES, SCREEN_COLUMNS = 45, 125


def width(line: str) -> int:
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in line)


@pytest.mark.parametrize("readme", [ENGLISH, KOREAN], ids=lambda path: path.name)
def test_the_part_for_it_fits_on_one_screen(readme: Path) -> None:
    lines = for_it(readme)
    assert len(lines) <= SCREEN_LINES
    assert [line for line in lines if width(line) > SCREEN_COLUMNS] == []


def test_both_languages_say_the_same_commands() -> None:
    assert commands(ENGLISH) == commands(KOREAN)
    assert len(commands(ENGLISH)) > 10


def test_the_bundle_that_is_named_is_of_this_version() -> None:
    (first, *_) = commands(ENGLISH)
    assert f"onggi-{__version__}-cpu-" in first
