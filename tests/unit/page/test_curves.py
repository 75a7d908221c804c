import re

import pytest

from agent.page.curves import Axis, Band, Plot, bands, round_above
from tests.kit.html import Reader


@pytest.mark.parametrize(
    ("value", "end"), [(0.0, 1.0), (0.35, 0.4), (0.9, 1.0), (1.0, 1.0), (37.0, 40.0), (1e-5, 1e-5)]
)
def test_a_scale_ends_at_a_round_number(value: float, end: float) -> None:
    assert round_above(value) == pytest.approx(end)


@pytest.mark.parametrize("high", [1e-4, 0.6, 1.0, 7.0, 1234.0])
def test_ticks_are_few_and_within_the_scale(high: float) -> None:
    ticks = Axis(0.0, high, "").ticks()
    assert 3 <= len(ticks) <= 6
    assert ticks[0] == 0
    assert ticks[-1] <= high * (1 + 1e-9)


def test_more_is_higher_and_further_right() -> None:
    plot = Plot(Axis(0, 1, "across"), Axis(0, 1, "up"), "a plot")
    plot.dots([(0.2, 0.3, "low"), (0.8, 0.9, "high")], "used")
    circles = [a for name, a in Reader(plot.svg().encode()).tags if name == "circle"]
    assert float(circles[0]["cx"] or 0) < float(circles[1]["cx"] or 0)
    assert float(circles[0]["cy"] or 0) > float(circles[1]["cy"] or 0)


def test_a_mark_outside_the_scale_stays_on_its_edge() -> None:
    plot = Plot(Axis(0, 1, "across"), Axis(0, 1, "up"), "a plot")
    plot.dots([(5.0, -3.0, "far")], "used")
    found = re.search(r'cx="([\d.]+)" cy="([\d.]+)"', plot.svg())
    assert found
    assert (float(found[1]), float(found[2])) == (312, 124)


def test_an_interval_holds_its_figure() -> None:
    svg = bands([Band("release", 0.4, (0.3, 0.5), "used")], "errors")
    (line,) = (a for name, a in Reader(svg.encode()).tags if a.get("class") == "used span")
    (dot,) = (a for name, a in Reader(svg.encode()).tags if name == "circle")
    assert float(line["x1"] or 0) < float(dot["cx"] or 0) < float(line["x2"] or 0)
