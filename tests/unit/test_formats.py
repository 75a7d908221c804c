"""Each quirk that docs/formats.md lists is proved by a test that exists."""

import ast
import re
from itertools import takewhile
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_LINES = (_ROOT / "docs" / "formats.md").read_text(encoding="utf-8").splitlines()
_TABLE = _LINES[next(at for at, line in enumerate(_LINES) if line.startswith("| quirk")) + 2 :]
_QUIRKS = list(takewhile(lambda line: line.startswith("| "), _TABLE))
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_there_is_a_table() -> None:
    assert len(_QUIRKS) > 20


@pytest.mark.parametrize("line", _QUIRKS, ids=lambda line: line.split("|")[1].strip())
def test_a_quirk_names_tests_that_exist(line: str) -> None:
    named = _NAMED.findall(line)
    assert named
    for path, name in named:
        tree = ast.parse((_ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
