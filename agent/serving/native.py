"""From the model's scale back to an endpoint's own unit."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from agent.releases.card import Transform

_LOG_UM_PER_M = 6.0
Numbers = npt.NDArray[np.float64]
_DIGITS = 5  # far below any assay's error, and far above what float32 carries
# Powers of ten up to the 22nd are exact in a double, so a division by one gives the nearest number.
_EXACT_POWERS = 17
_POWERS = 10.0 ** np.arange(23)

_INVERSES: dict["Transform", Callable[[float], float]] = {
    "identity": lambda y: y,
    "log10": lambda y: 10.0**y,
    "neg_log10_molar": lambda y: 10.0 ** (_LOG_UM_PER_M - y),
    "log10_plus_1": lambda y: max(10.0**y - 1.0, 0.0),
}


def to_native(model_value: float, transform: "Transform") -> float:
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
    """Rounds to five significant digits, so that equal predictions are equal text."""
    return float(f"{value:.{_DIGITS}g}")


def native_interval(low: float, high: float, transform: "Transform") -> tuple[float, float] | None:
    """Undoes the transform at both ends of an interval.

    Returns:
        Low end first, whichever way the transform turns; None where an end is no finite number.
    """
    first, second = sorted(to_native(end, transform) for end in (low, high))
    if not (math.isfinite(first) and math.isfinite(second)):
        return None
    return rounded(first), rounded(second)


def natives(values: npt.NDArray[np.float32], transforms: Sequence["Transform"]) -> Numbers:
    """Undoes the transforms of whole columns, as `to_native` does of one value.

    Args:
        values: (n, tasks), on the model's scale.
        transforms: One a task.

    Returns:
        float64 (n, tasks); NaN stays NaN.
    """
    found = values.astype(np.float64)
    with np.errstate(over="ignore"):
        for column, transform in enumerate(transforms):
            found[:, column] = _COLUMNS[transform](found[:, column])
    return found


_COLUMNS: dict["Transform", Callable[[Numbers], Numbers]] = {
    "identity": lambda y: y,
    "log10": lambda y: 10.0**y,
    "neg_log10_molar": lambda y: 10.0 ** (_LOG_UM_PER_M - y),
    "log10_plus_1": lambda y: np.maximum(10.0**y - 1.0, 0.0),
}


def all_rounded(values: npt.NDArray[np.floating]) -> Numbers:
    """Rounds to five significant digits, as `rounded` does; NaN and 0 stay what they are."""
    exact = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitude = np.floor(np.log10(np.abs(exact)))
        usual = np.abs(magnitude) <= _EXACT_POWERS
    places = np.where(usual, _DIGITS - 1 - magnitude, 0).astype(np.int64)
    up, down = _POWERS[np.maximum(places, 0)], _POWERS[np.maximum(-places, 0)]
    found: Numbers = np.where(usual, np.rint(exact * up / down) * down / up, exact)
    odd = ~usual & np.isfinite(exact) & (exact != 0)
    found[odd] = [rounded(value) for value in exact[odd]]
    return found
