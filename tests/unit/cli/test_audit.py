import csv
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from agent.serving.audit import AuditLog
from tests.unit.cli.conftest import Home

if TYPE_CHECKING:
    from agent.records import Json


@pytest.fixture
def told(home: Home) -> Home:
    home.paths.create()
    lines = AuditLog(home.paths.predict / "audit")
    for day, who in enumerate(("kim", "lee", "=cmd()"), start=1):
        line: dict[str, Json] = {
            "who": who,
            "address": "10.0.0.1",
            "method": "POST",
            "route": "/v1/predict",
        }
        counts: dict[str, Json] = {"status": 200, "structures": 3, "bad": 1, "release": "r1"}
        lines.write({**line, **counts}, datetime(2026, day, 5, tzinfo=UTC))
    lines.close()
    return home


def test_the_newest_lines_are_shown(told: Home) -> None:
    said = told.said("audit", "tail", "-n", "2").splitlines()
    assert [line.split()[1] for line in said] == ["lee", "=cmd()"]
    assert said[0].startswith("2026-02-05T00:00:00  lee")
    assert "/v1/predict" in said[0]
    assert "3 (1 bad)" in said[0]
    lines = told.said("audit", "tail", "--json", "--since", "2026-03-01").splitlines()
    assert [json.loads(line)["who"] for line in lines] == ["=cmd()"]


def test_everything_is_exported_and_computes_nothing_in_a_spreadsheet(told: Home) -> None:
    rows = list(csv.DictReader(io.StringIO(told.said("audit", "export"))))
    assert [row["who"] for row in rows] == ["kim", "lee", "'=cmd()"]
    assert rows[0]["structures"] == "3"
    since = told.said("audit", "export", "--since", "2026-02-01", "--json").splitlines()
    assert [json.loads(line)["who"] for line in since] == ["lee", "=cmd()"]


def test_nobody_and_a_bad_day_are_said(home: Home) -> None:
    assert home.said("audit", "tail") == "Nobody has asked yet.\n"
    result = home.run("audit", "export", "--since", "yesterday")
    assert result.exit_code == 2
    assert "write 2026-11-01" in result.output
