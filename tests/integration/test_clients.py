"""Whoever asks predict: the command line with files, the Python client, an assistant over MCP."""

import asyncio
import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mcp import Client as Assistant
from mcp import StdioServerParameters
from rdkit import Chem

from agent.cli.main import onggi
from agent.errors import Refused, Stop, TryLater
from onggi.client import Client
from tests.kit.predicting import TASK, served

LEVEL = 1.5
CSV = "id,SMILES\n1,CCO\n2,no\n3,CCN\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("predict"), LEVEL) as address:
        yield address


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text(CSV)
    return path


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(onggi, ["predict", *arguments])


def _values(text: str) -> list[tuple[str, str]]:
    return [(row["id"], row[TASK]) for row in csv.DictReader(io.StringIO(text))]


WANTED = [("1", str(LEVEL)), ("2", ""), ("3", str(LEVEL))]


def test_a_file_to_a_file(url: str, given: Path, tmp_path: Path) -> None:
    found = tmp_path / "out.csv"
    result = _run(str(given), str(found), "--url", url)
    assert result.exit_code == 0, result.output
    assert _values(found.read_text()) == WANTED
    assert "3 rows by release r1, 1 without a prediction" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv"}


def test_an_sd_file_to_a_table_as_hosts_of_models_want_it(url: str, tmp_path: Path) -> None:
    given, found = tmp_path / "in.sdf", tmp_path / "out.csv"
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    given.write_text(f"C1{block}>  <id>\n1\n\n$$$$\n")
    assert _run(str(given), str(found), "--url", url).exit_code == 0
    (row,) = csv.DictReader(io.StringIO(found.read_text()))
    assert (row["title"], row["id"], row[TASK]) == ("C1", "1", str(LEVEL))


def test_standard_input_to_standard_output(url: str) -> None:
    command = [sys.executable, "-m", "agent", "predict", "-", "--url", url]
    asked = "CCO ethanol\nCCN\n"
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["smiles"], row["name"]) for row in rows] == [("CCO", "ethanol"), ("CCN", "")]
    command = [*command, "--json"]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["predictions"][TASK]["value"] for line in lines] == [LEVEL, LEVEL]


def test_one_endpoint_of_a_few_structures_and_of_a_file(url: str, given: Path) -> None:
    result = _run("CCO", "--url", url, "--json", "--endpoint", TASK)
    assert list(json.loads(result.stdout)["results"][0]["predictions"]) == [TASK]
    header = _run(str(given), "--url", url, "--endpoint", TASK).stdout.partition("\n")[0]
    assert header.split(",")[2] == TASK
    for first in ("CCO", str(given)):
        error = _run(first, "--url", url, "--endpoint", "x").exception
        assert isinstance(error, Refused)
        assert error.code == "unknown_endpoint"


def test_what_cannot_be_is_said_in_a_sentence(url: str, given: Path, tmp_path: Path) -> None:
    away = _run(str(given), "--url", "http://127.0.0.1:9").exception
    assert isinstance(away, TryLater)
    assert "Start it with `onggi serve`" in str(away)
    missing = _run(str(tmp_path / "x.csv"), "--url", url).exception
    assert isinstance(missing, Stop)
    assert "x.csv: No such file" in str(missing)
    column = _run(str(given), "--url", url, "--structure", "mol").exception
    assert isinstance(column, Refused)
    assert "it has 'id', 'SMILES'" in str(column)
    wrong = _run(str(given), "out.xlsx", "--url", url)
    assert wrong.exit_code == 2
    assert "must end in one of .csv, .sdf, .parquet, .ndjson" in wrong.output
    assert _run(str(given), "a.csv", "b.csv", "--url", url).exit_code == 2


def test_the_python_client_against_the_real_one(url: str, given: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with Client(url) as client:
        frame = client.predict(["CCO", "no"])
        assert frame[TASK][0] == LEVEL
        assert frame["error"][1].startswith("parse: ")
        assert client.explain("CCO", TASK)["svg"]
        assert client.model()["release_id"] == "r1"
        found = client.batch(given, tmp_path / "out.csv", progress=lambda *at: seen.append(at))
    assert _values(found.read_text()) == WANTED
    assert seen[-1] == (3, 3)


async def _asked(url: str) -> dict[str, Any]:
    command = ["-m", "agent", "mcp", "--url", url]
    server = StdioServerParameters(command=sys.executable, args=command, cwd=Path.cwd())
    async with Assistant(server) as assistant:
        tools = {tool.name: tool for tool in (await assistant.list_tools()).tools}
        return {
            "tools": tools,
            "predict": await assistant.call_tool("predict", {"smiles": ["CCO", "no"]}),
            "explain": await assistant.call_tool("explain", {"smiles": "CCO", "endpoint": TASK}),
            "model": await assistant.call_tool("model", {}),
            "wrong": await assistant.call_tool("explain", {"smiles": "CCO", "endpoint": "x"}),
            "many": await assistant.call_tool("predict", {"smiles": ["C"] * 201}),
        }


def test_an_assistant_asks_over_standard_input_and_output(url: str) -> None:
    said = asyncio.run(_asked(url))
    assert set(said["tools"]) == {"predict", "explain", "neighbours", "model"}
    assert "90 % interval" in said["tools"]["predict"].description
    results = said["predict"].structured_content["results"]
    assert results[0]["predictions"][TASK]["value"] == LEVEL
    assert results[1]["error"]["step"] == "parse"
    explained = said["explain"].structured_content
    assert len(explained["contributions"][TASK]) == 3
    assert "svg" not in explained
    assert said["model"].structured_content["release_id"] == "r1"
    assert said["wrong"].is_error
    assert "no such endpoint" in said["wrong"].content[0].text
    assert said["many"].is_error
    assert "200 structures at most" in said["many"].content[0].text
