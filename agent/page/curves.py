"""Plots of curves and intervals: inline SVG; colours come from the page's classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent.page.markup import Html, tag

_WIDTH, _HEIGHT = 320.0, 160.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 38.0, 8.0, 10.0, 36.0
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_TICKS = 4  # about so many
_BAND_HEIGHT = 22.0
_BAND_TEXT = 74.0


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from `low` to `high`, with what it measures."""

    low: float
    high: float
    label: str

    def ticks(self) -> list[float]:
        """Returns round numbers within the scale, some four of them."""
        step = _round_step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def round_above(value: float) -> float:
    """Returns a number to end a scale with that begins at 0; 1 for nothing."""
    if not value > 0:
        return 1.0
    step = _round_step(value / _TICKS)
    return step * math.ceil(value / step - 1e-9)


class Plot:
    """Marks in the order in which they are added, between two axes."""

    def __init__(self, across: Axis, up: Axis, label: str) -> None:
        """Begins a plot; the label is for those who cannot see it."""
        self._across, self._up, self._label = across, up, label
        self._marks: list[Html] = []

    def region(self, start: float, end: float, kind: str) -> None:
        """Shades what lies between two values of the horizontal axis."""
        x, right = self._x(start), self._x(end)
        high = _HEIGHT - _TOP - _BOTTOM
        mark = tag("rect", class_=kind, x=x, y=_TOP, width=max(right - x, 0.0), height=high)
        self._marks.append(mark)

    def line(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Joins points."""
        path = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in points)
        self._marks.append(tag("polyline", class_=kind, points=path))

    def dots(self, points: Sequence[tuple[float, float, str]], kind: str) -> None:
        """Marks points; each says its text where the pointer rests."""
        for x, y, said in points:
            title = tag("title", said)
            self._marks.append(
                tag("circle", title, class_=kind, cx=self._x(x), cy=self._y(y), r=3.5)
            )

    def steps(self, parts: Sequence[tuple[float, float, float, str]], kind: str) -> None:
        """Draws a level from one value to the next; each says its text."""
        for start, end, level, said in parts:
            y = self._y(level)
            mark = tag(
                "line", tag("title", said), class_=kind, x1=self._x(start), x2=self._x(end), y1=y,
                y2=y,
            )  # fmt: skip
            self._marks.append(mark)

    def svg(self) -> Html:
        """Returns the plot."""
        return tag(
            "svg", *self._frame(), *self._marks, class_="plot",
            viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", role="img", aria_label=self._label,
        )  # fmt: skip

    def _frame(self) -> list[Html]:
        base, marks = _HEIGHT - _BOTTOM, []
        for tick in self._up.ticks():
            y = self._y(tick)
            marks.append(tag("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y))
            marks.append(tag("text", f"{tick:g}", x=_LEFT - 6, y=y + 3.5, text_anchor="end"))
        for tick in self._across.ticks():
            x = self._x(tick)
            marks.append(tag("line", class_="axis", x1=x, x2=x, y1=base, y2=base + 4))
            marks.append(tag("text", f"{tick:g}", x=x, y=base + 16, text_anchor="middle"))
        marks.append(tag("line", class_="axis", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=base, y2=base))
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        named = tag("text", self._across.label, x=middle, y=_HEIGHT - 4, text_anchor="middle")
        return [*marks, named]

    def _x(self, value: float) -> float:
        share = (value - self._across.low) / (self._across.high - self._across.low)
        return _LEFT + min(max(share, 0.0), 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        share = (value - self._up.low) / (self._up.high - self._up.low)
        return _HEIGHT - _BOTTOM - min(max(share, 0.0), 1.0) * (_HEIGHT - _TOP - _BOTTOM)


@dataclass(frozen=True, slots=True)
class Band:
    """One figure with its interval, if it has one."""

    name: str
    value: float
    interval: tuple[float, float] | None
    kind: str


def bands(rows: Sequence[Band], label: str) -> Html:
    """Draws figures below each other on one scale that begins at 0."""
    top = round_above(max(max((row.value, *(row.interval or ()))) for row in rows))
    axis = Axis(0.0, top, "")
    base, wide = len(rows) * _BAND_HEIGHT + 2, _WIDTH - _BAND_TEXT - _RIGHT - 44
    marks = []
    for at, row in enumerate(rows):
        y = at * _BAND_HEIGHT + _BAND_HEIGHT / 2
        x = _BAND_TEXT + row.value / top * wide
        marks.append(tag("text", row.name, x=0.0, y=y + 4))
        if row.interval:
            low, high = (_BAND_TEXT + end / top * wide for end in row.interval)
            marks.append(tag("line", class_=f"{row.kind} span", x1=low, x2=high, y1=y, y2=y))
        said = tag("title", f"{row.name}: {row.value:.3g}")
        marks.append(tag("circle", said, class_=row.kind, cx=x, cy=y, r=4.5))
        marks.append(tag("text", f"{row.value:.3f}", x=_WIDTH, y=y + 4, text_anchor="end"))
    for tick in axis.ticks():
        x = _BAND_TEXT + tick / top * wide
        marks.append(tag("line", class_="axis", x1=x, x2=x, y1=base, y2=base + 4))
        marks.append(tag("text", f"{tick:g}", x=x, y=base + 16, text_anchor="middle"))
    marks.append(tag("line", class_="axis", x1=_BAND_TEXT, x2=_BAND_TEXT + wide, y1=base, y2=base))
    return tag(
        "svg", *marks, class_="plot", viewBox=f"0 0 {_WIDTH:g} {base + 20:g}", role="img",
        aria_label=label,
    )  # fmt: skip


def _round_step(least: float) -> float:
    size = 10.0 ** math.floor(math.log10(least))
    return next(step * size for step in _STEPS if step * size >= least * (1 - 1e-9))
