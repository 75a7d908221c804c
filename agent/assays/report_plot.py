"""The report's plots: inline SVG of rectangles and text; colours come from the page's classes."""

from collections.abc import Mapping, Sequence
from typing import Any

from agent.page.markup import Html, tag

_WIDTH, _HEIGHT = 320.0, 112.0
_BASE = 88.0  # y of the histogram's base line
_TOP = 6.0
_GAP = 1.0
_MAX_TICKS = 6
_TICK_STEPS = (1, 2, 5, 10, 20, 50)  # bins between two ticks
_TEXT_PX = 6.0  # about the width of a character
_MIN_SHARE = 0.004  # a part that is there must be seen


def shares(parts: Sequence[tuple[str, str, int]], label: str) -> Html:
    """Draws one bar of parts.

    Args:
        parts: Class, name and count of each part, from left to right.
        label: For those who cannot see it.
    """
    total = sum(count for *_, count in parts)
    shown = [part for part in parts if part[2]]
    wide = {name: max(count / total, _MIN_SHARE) for _, name, count in shown}
    scale = 1000.0 / sum(wide.values()) if wide else 0.0
    rects, x = [], 0.0
    for kind, name, count in shown:
        width = wide[name] * scale
        title = tag("title", f"{name}: {count:,}")
        rects.append(tag("rect", title, class_=kind, x=x, y=0, width=width, height=10))
        x += width
    return tag(
        "svg", *rects, class_="bar", viewBox="0 0 1000 10", preserveAspectRatio="none",
        role="img", aria_label=label,
    )  # fmt: skip


def histogram(plot: Mapping[str, Any], label: str) -> Html:
    """Draws counts by bin: uncensored solid, censored hatched above them.

    Args:
        plot: `edges` (n + 1), `labels` of the edges, `exact` and `censored` (n), `scale`.
        label: For those who cannot see it.
    """
    exact, censored = plot["exact"], plot["censored"]
    highest = max((a + b for a, b in zip(exact, censored, strict=True)), default=0) or 1
    width, high = _WIDTH / len(exact), (_BASE - _TOP) / highest
    bars = []
    for at, (sure, cut) in enumerate(zip(exact, censored, strict=True)):
        said = f"{plot['labels'][at]} to {plot['labels'][at + 1]} {plot['scale']}: {sure:,}"
        title = tag("title", said + (f" and {cut:,} censored" if cut else ""))
        for kind, foot, count in (("used", 0, sure), ("cut", sure, cut)):
            bars += [_bar(kind, at * width, width, (foot, count, high), title)] if count else []
    base = tag("line", class_="axis", x1=0, x2=_WIDTH, y1=_BASE, y2=_BASE)
    return tag(
        "svg", *bars, base, *_ticks(plot), class_="plot", viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img", aria_label=label,
    )  # fmt: skip


def _bar(kind: str, x: float, width: float, rise: tuple[int, int, float], title: Html) -> Html:
    foot, count, high = rise
    return tag(
        "rect", title, class_=kind, x=x + _GAP / 2, y=_BASE - (foot + count) * high,
        width=max(width - _GAP, 0.5), height=count * high,
    )  # fmt: skip


def _ticks(plot: Mapping[str, Any]) -> list[Html]:
    edges, labels = plot["edges"], plot["labels"]
    step = edges[1] - edges[0]
    every = next(n for n in _TICK_STEPS if len(edges) <= n * _MAX_TICKS or n == _TICK_STEPS[-1])
    # Multiples of a round number, and so of ten in native units where a scale is logarithmic.
    whole = [at for at, edge in enumerate(edges) if abs(edge - round(edge)) < step / 4]
    rounds = [at for at, edge in enumerate(edges) if round(edge / step) % every == 0]
    chosen = whole if 2 <= len(whole) <= _MAX_TICKS + 1 else rounds
    ticks = []
    for at in chosen:
        x = at * _WIDTH / (len(edges) - 1)
        half = len(labels[at]) * _TEXT_PX / 2
        middle = min(max(x, half), _WIDTH - half)
        ticks.append(tag("line", class_="axis", x1=x, x2=x, y1=_BASE, y2=_BASE + 4))
        ticks.append(tag("text", labels[at], x=middle, y=_BASE + 17, text_anchor="middle"))
    return ticks
