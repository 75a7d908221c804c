import json

import pytest

from agent.assays.lookup import Measured
from agent.serving.batch.measured import KEY, Finding, by_task, findings
from tests.unit.serving.conftest import TASKS, _task


@pytest.mark.parametrize(
    ("value", "qualifier", "text"),
    [(100.0, ">", ">100"), (0.5, "<", "<0.5"), (-2.9, "=", "-2.9"), (1e-7, "=", "1e-07")],
)
def test_a_cell_reads_as_the_pages_own_table_has_it(
    value: float, qualifier: str, text: str
) -> None:
    assert Finding(0, 0, value, qualifier, 1).text == text


def test_findings_are_those_of_the_releases_endpoints_in_their_units() -> None:
    tasks = [_task(*entry) for entry in TASKS]
    known = {
        7: {
            "solubility": Measured(100.0, "uM", ">", 2, "2023-01-02"),
            "logd": Measured(0.46, "", "=", 3, ""),
            "herg": Measured(1.0, "uM", "=", 1, ""),
        },
        9: {"clint": Measured(5.0, "mL/min/kg", "=", 1, "")},
    }
    found = findings(known, tasks)
    assert found == [(7, 0, 0.46, "=", 3), (7, 1, 100.0, ">", 2)]


def test_what_is_told_is_found_again_in_the_rows_of_the_part() -> None:
    heads = [
        {"rows": 10, KEY: [Finding(7, 0, 0.46, "=", 3)]},
        {"rows": 5},  # nobody looked
        {"rows": 10, KEY: [Finding(0, 0, 1.0, "<", 1), Finding(0, 2, 2.0, "=", 1)]},
    ]
    said = json.loads(json.dumps(heads))
    assert by_task(zip((0, 10, 15), said, strict=True)) == {
        0: [Finding(7, 0, 0.46, "=", 3), Finding(15, 0, 1.0, "<", 1)],
        2: [Finding(15, 2, 2.0, "=", 1)],
    }
