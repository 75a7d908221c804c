"""The recipes of docs/integrations.md, run as they stand there."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.predicting import TASK, served

DOCS = Path(__file__).parents[2] / "docs" / "integrations.md"
ADDRESS = "http://127.0.0.1:8600"
LEVEL = 1.5


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("predict"), LEVEL) as address:
        yield address


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "in.csv").write_text("id,SMILES\na,CCO\nb,no\n")
    return tmp_path


def _recipe(title: str, language: str) -> str:
    section = DOCS.read_text(encoding="utf-8").split(f"\n## {title}")[1].split("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


def _check(path: Path) -> None:
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [(row["id"], row[TASK]) for row in rows] == [("a", str(LEVEL)), ("b", "")]


def test_curl(url: str, place: Path) -> None:
    script = "set -e\n" + _recipe("curl", "sh").replace(ADDRESS, url)
    done = subprocess.run(
        ["sh", "-c", script], cwd=place, capture_output=True, text=True, check=True
    )
    results = json.loads(done.stdout)["results"]
    assert [result["predictions"][TASK]["value"] for result in results] == [LEVEL, LEVEL]
    lines = [json.loads(line) for line in (place / "out.ndjson").read_bytes().splitlines()]
    assert [line["columns"]["id"] for line in lines] == ["a", "b"]
    _check(place / "out.csv")


def test_python(url: str, place: Path) -> None:
    script = _recipe("Python", "python").replace(ADDRESS, url)
    script += f"\nassert endpoints == [{TASK!r}], endpoints\n"
    script += f"assert list(table[{TASK!r}]) == [{LEVEL}, {LEVEL}], table\n"
    path = f"import sys; sys.path.insert(0, {str(DOCS.parents[1])!r})\n"
    subprocess.run([sys.executable, "-c", path + script], cwd=place, check=True)
    _check(place / "out.csv")


def test_the_commands_of_other_programs(url: str, place: Path) -> None:
    recipe = _recipe("Shell", "sh").replace(ADDRESS, url)
    lines = recipe.replace("onggi predict", f"{sys.executable} -m agent predict").splitlines()
    to_sdf, piped = lines[1], lines[2].replace("logd", TASK)
    (place / "library.smi").write_text("CCO\tethanol\n")
    root = f"export PYTHONPATH={DOCS.parents[1]}"
    script = "\n".join(["set -e", root, to_sdf, piped.replace("out.csv", "piped.csv")])
    subprocess.run(["sh", "-c", script], cwd=place, check=True, capture_output=True)
    assert (place / "out.sdf").read_text().count("$$$$") == 2
    assert (place / "piped.csv").read_text().splitlines()[1].startswith(f"CCO,,{LEVEL}")
    from_sdf = f"{root}\n{lines[0].replace('in.sdf', 'out.sdf')}"
    subprocess.run(["sh", "-c", from_sdf], cwd=place, check=True, capture_output=True)
    _check(place / "out.csv")


def test_the_configuration_of_an_assistant_is_one() -> None:
    said = json.loads(_recipe("Assistants", "json"))
    assert said["mcpServers"]["onggi"]["command"] == "onggi"
