import math
from typing import TYPE_CHECKING

import pytest

from agent.assays.identity import Identifier
from agent.errors import Refused, Stop
from agent.keeper.evaluation.order import SourceFile
from agent.keeper.evaluation.read import Measured, Reader
from tests.unit.keeper.evaluation.conftest import PROFILE, structures

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.keeper.evaluation.conftest import Series


def _read(series: "Series", path: "Path", silo: str = "") -> Measured:
    source = SourceFile(path=str(path), profile=str(series.profile))
    return Reader(series.folder, Identifier()).measured(source, silo, lambda _: None)


def test_measurements_come_on_the_scale_with_their_time(series: "Series") -> None:
    found = _read(series, series.write("a.csv", structures(1)[:10], first=9))
    assert found.tasks == ("LogD", "Sol, uM")
    assert found.account.used == len(found.frame) == 20
    sol = found.frame.filter(found.frame["task"] == "Sol, uM")
    assert sol["value"][0] == 0.0
    assert set(sol["qualifier"]) == {"="}
    assert sol["value"][1] == pytest.approx(math.log10(1 + 11.0))
    order = sol["date"].to_list()
    assert order == sorted(order)
    assert int(order[0]) == 9


def test_another_silo_s_tasks_bear_its_name(series: "Series") -> None:
    found = _read(series, series.write("a.csv", structures(1)[:3]), silo="b")
    assert found.tasks == ("b series LogD", "b series Sol, uM")
    assert set(found.frame["task"]) == set(found.tasks)


def test_what_was_set_aside_is_counted(series: "Series") -> None:
    found = _read(series, series.write("a.csv", ["CCO", "nonsense", "CCN"]))
    assert found.account.set_aside == {"structure_parse": 2}
    assert found.account.used == 4


def test_without_an_order_there_is_no_time(series: "Series") -> None:
    series.profile.write_text(PROFILE.replace('order = "ID"\n', ""))
    found = _read(series, series.write("a.csv", ["CCO"]))
    assert set(found.frame["date"]) == {""}


def test_an_order_that_the_file_lacks_is_refused(series: "Series") -> None:
    series.profile.write_text(PROFILE.replace('order = "ID"', 'order = "Number"'))
    with pytest.raises(Refused, match="'Number'"):
        _read(series, series.write("a.csv", ["CCO"]))


def test_a_missing_profile_stops(series: "Series") -> None:
    series.profile.unlink()
    with pytest.raises(Stop):
        _read(series, series.write("a.csv", ["CCO"]))
