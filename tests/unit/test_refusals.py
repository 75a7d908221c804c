"""Every refusal of what hides a silo, and of what pays for it, is named by a test.

That each is really raised there, `make test` finds by coverage: of the same files, the Makefile's
`HIDING`, every line and branch must have run.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _hiding() -> list[Path]:
    found = re.search(r"^HIDING := (.*?[^\\])$", (ROOT / "Makefile").read_text(), re.M | re.S)
    assert found is not None
    patterns = re.sub(r"\$\\\n\s*", "", found[1]).split(",")
    by_pattern = [sorted(ROOT.glob(pattern)) for pattern in patterns]
    assert all(by_pattern), "HIDING names a file that is gone"
    return [path for paths in by_pattern for path in paths if path.suffix == ".py"]


def _codes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name("Refused"), args=[ast.Constant(str(code)), *_]):
                yield code
            # `sums.replay` raises the codes of a list of what must be equal.
            case ast.Tuple(elts=[ast.Constant(str(code)), ast.Attribute(), ast.Attribute()]):
                yield code


def test_the_files_are_found() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in _hiding()}
    assert {"agent/wire/masking/silo.py", "consortium/masked_messages.py"} <= names
    assert len(names) > 30


def test_each_code_is_named_by_a_test() -> None:
    tests = "".join(one.read_text() for one in (ROOT / "tests" / "unit").rglob("test_*.py"))
    named = set(re.findall(r"\w+", tests))
    codes = {path.name: set(_codes(path)) for path in _hiding()}
    assert "wrong_key_set" in codes["sums.py"]
    assert sum(map(len, codes.values())) > 80
    assert {name: own - named for name, own in codes.items() if own - named} == {}
