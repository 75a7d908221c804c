"""The plots of one endpoint's card; None where there is nothing to draw."""

from agent.page.curves import Axis, Band, Plot, bands, round_above
from agent.page.markup import Html
from agent.releases.card import TaskCard


def errors(task: TaskCard) -> Html | None:
    """Draws the error of the model made here alone beside the release's."""
    rows = []
    if task.error_local is not None:
        rows.append(Band("made alone", task.error_local, task.local_interval, "aside"))
    if task.error_release is not None:
        rows.append(Band("release", task.error_release, task.release_interval, "used"))
    return bands(rows, f"Errors of {task.name}") if rows else None


def calibration(task: TaskCard) -> Html | None:
    """Draws the observed coverage against the predicted level."""
    levels = task.confidence.levels if task.confidence else ()
    if not levels:
        return None
    plot = Plot(
        Axis(0.0, 1.0, "level asked for"), Axis(0.0, 1.0, "inside"), f"Coverage of {task.name}"
    )
    plot.line([(0.0, 0.0), (1.0, 1.0)], "ideal")
    plot.line([(level.predicted, level.observed) for level in levels], "trend")
    said = [
        (lv.predicted, lv.observed, f"{lv.predicted:.0%} asked for, {lv.observed:.0%} inside")
        for lv in levels
    ]
    plot.dots(said, "used")
    return plot.svg()


def curve(task: TaskCard) -> Html | None:
    """Draws the error by similarity, and where the domain begins."""
    known = task.confidence
    if known is None or not known.curve:
        return None
    top = round_above(max(part.error for part in known.curve))
    plot = Plot(
        Axis(0.0, 1.0, "similarity to the nearest measured compound"),
        Axis(0.0, top, "error"),
        f"Error of {task.name} against similarity",
    )
    plot.region(known.similarity, 1.0, "inside")
    plot.steps(
        [
            (
                part.low,
                part.high,
                part.error,
                f"similarity {part.low:.2f} to {part.high:.2f}: error {part.error:.3g}, "
                f"{part.n:,} labels"
                + (f", {part.coverage:.0%} in 90% intervals" if part.coverage is not None else ""),
            )
            for part in known.curve
        ],
        "step",
    )
    return plot.svg()
