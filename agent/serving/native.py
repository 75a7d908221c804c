"""From the model's scale back to an endpoint's own unit."""

import math
from collections.abc import Callable

from agent.releases.card import Transform

_LOG_UM_PER_M = 6.0
_DIGITS = 5  # far below any assay's error, and far above what float32 carries

_INVERSES: dict[Transform, Callable[[float], float]] = {
    "identity": lambda y: y,
    "log10": lambda y: 10.0**y,
    "neg_log10_molar": lambda y: 10.0 ** (_LOG_UM_PER_M - y),
    "log10_plus_1": lambda y: max(10.0**y - 1.0, 0.0),
}


def to_native(model_value: float, transform: Transform) -> float:
    """Undoes an endpoint's transform.

    Args:
        model_value: On the model's scale.
        transform: As in the catalogue: `neg_log10_molar` gives uM, `log10_plus_1` is
            log10(x + 1) and never gives less than 0.

    Returns:
        The value in the endpoint's canonical unit; infinite where no float can hold it.
    """
    try:
        return _INVERSES[transform](model_value)
    except OverflowError:
        return math.inf


def rounded(value: float) -> float:
    """Rounds to five significant digits, so that equal predictions are equal text; -0 is 0."""
    return float(f"{value:.{_DIGITS}g}") + 0.0


def native_interval(low: float, high: float, transform: Transform) -> tuple[float, float] | None:
    """Undoes the transform at both ends of an interval.

    Returns:
        Low end first, whichever way the transform turns; None where an end is no finite number.
    """
    first, second = sorted(to_native(end, transform) for end in (low, high))
    if not (math.isfinite(first) and math.isfinite(second)):
        return None
    return rounded(first), rounded(second)
