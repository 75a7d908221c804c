from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused, Stop
from agent.keeper.evaluation.order import EvaluateOrder, SourceFile
from agent.keeper.evaluation.start import evaluated
from tests.unit.keeper.evaluation.conftest import structures

if TYPE_CHECKING:
    from tests.unit.keeper.evaluation.conftest import Series


def _evaluated(series: "Series", data: Path) -> None:
    source = SourceFile(path=str(data), profile=str(series.profile))
    order = EvaluateOrder(data=source, cache=str(series.folder), threads=1)
    job = series.folder / "job"
    job.mkdir()
    evaluated(order, job, lambda _: None)


@pytest.mark.slow
def test_what_the_worker_refuses_is_refused_here(series: "Series") -> None:
    with pytest.raises(Refused, match="held back"):
        _evaluated(series, series.write("data.csv", structures()[:1]))


@pytest.mark.slow
def test_what_stops_the_worker_stops_here(series: "Series") -> None:
    series.profile.write_text("version = 1\n")
    with pytest.raises(Stop, match="faults"):
        _evaluated(series, series.write("data.csv", ["CCO"]))
