"""Each promise of docs/operations.md is held by a test that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"((?:unit|integration|system)/[\w/]+\.py)::(\w+)")


def _named() -> list[tuple[str, str]]:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = text.split("## Promises and what holds them", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert all(_NAMED.search(row) for row in rows)
    return _NAMED.findall(table)


@pytest.mark.parametrize(("path", "test"), _named(), ids=lambda part: part)
def test_it_is_there(path: str, test: str) -> None:
    assert f"def {test}(" in (ROOT / "tests" / path).read_text(encoding="utf-8")
