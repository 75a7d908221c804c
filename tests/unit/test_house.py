"""The house rules that no linter knows: sizes, names, and empty packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    tops = ("agent", "consortium", "onggi", "benchmarks")
    return sorted(p for top in tops for p in (ROOT / top).rglob("*.py"))


def functions(source: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    """Counts a function's lines, its decorators and docstring included."""
    first = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    return (function.end_lineno or function.lineno) - first + 1


def only_a_docstring(source: str) -> bool:
    body = ast.parse(source).body
    return (
        len(body) == 1
        and isinstance(body[0], ast.Expr)
        and bool(ast.get_docstring(ast.parse(source)))
    )


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_measure() -> None:
    assert {"agent/config.py", "consortium/app.py"} <= set(map(name, modules()))


@pytest.mark.parametrize("path", modules(), ids=name)
def test_a_module_fits_on_a_few_screens(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", modules(), ids=name)
def test_a_function_fits_on_one_screen(path: Path) -> None:
    found = functions(path.read_text(encoding="utf-8"))
    assert [f.name for f in found if length(f) > LONGEST_FUNCTION] == []


def test_a_function_is_measured_with_its_decorators() -> None:
    (function,) = functions("@a\n@b\ndef f():\n    x = 1\n    return x\n")
    assert length(function) == 5


def test_no_module_has_a_name_that_says_nothing() -> None:
    parts = {part: p for p in modules() for part in p.relative_to(ROOT).with_suffix("").parts}
    assert not NAMES_THAT_SAY_NOTHING & set(parts)


@pytest.mark.parametrize(
    "path",
    # The agent's own sets the version, and onnxruntime's switch before any import of it.
    [p for p in modules() if p.name == "__init__.py" and p != ROOT / "agent" / "__init__.py"],
    ids=name,
)
def test_a_package_imports_nothing_by_itself(path: Path) -> None:
    assert only_a_docstring(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("source", ["", "import os\n", '"""Doc."""\nimport os\n', "1\n"])
def test_a_package_with_code_is_found(source: str) -> None:
    assert not only_a_docstring(source)


def test_every_package_has_an_init() -> None:
    folders = {p.parent for p in modules()}
    assert [name(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_no_readme_waits_to_be_filled_in(name: str) -> None:
    assert "DEMO_" not in (ROOT / name).read_text(encoding="utf-8")
