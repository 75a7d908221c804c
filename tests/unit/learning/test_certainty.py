from pathlib import Path

import pytest

from agent.errors import Refused
from agent.learning.certainty import Certainty, read_certainty, write_certainty
from agent.learning.domain import Domain, TaskDomain
from agent.learning.intervals import LEVELS, Calibration, TaskCalibration

CALIBRATION = TaskCalibration(
    task="a", n=40, pooled=False, constant=0.5, by_spread=0.0, by_distance=1.0,
    reach=tuple(range(len(LEVELS))),
)  # fmt: skip
DOMAIN = TaskDomain(task="a", similarity=0.5, spread=None, pooled=False, curve=())
WHOLE = Certainty(calibration=Calibration(tasks=(CALIBRATION,)), domain=Domain(tasks=(DOMAIN,)))


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_certainty(tmp_path / "c.json", WHOLE)
    assert read_certainty(tmp_path / "c.json") == WHOLE


def test_a_missing_and_a_strange_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no_calibration"):
        read_certainty(tmp_path / "c.json")
    (tmp_path / "c.json").write_bytes(WHOLE.to_bytes().replace(b'"version":1', b'"version":2'))
    with pytest.raises(Refused, match="malformed"):
        read_certainty(tmp_path / "c.json")
