"""Every test that docs/threat-model.md names exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "threat-model.md"
NAMED = re.compile(r"([a-z0-9_/]+\.py)::(test_[a-z0-9_]+)")


def named() -> list[tuple[str, str]]:
    return sorted(set(NAMED.findall(PAGE.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(("file", "test"), named())
def test_a_named_test_exists(file: str, test: str) -> None:
    assert f"def {test}(" in (TESTS / file).read_text(encoding="utf-8")


def test_every_defence_names_a_test() -> None:
    page = PAGE.read_text(encoding="utf-8").split("## 3.")[1].split("## 4.")[0]
    rows = [line for line in page.splitlines() if line.startswith("|")]
    rows = [row for row in rows if not row.startswith(("| attack", "|---"))]
    assert len(rows) > 30
    assert [row for row in rows if not NAMED.search(row)] == []
