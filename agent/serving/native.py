"""From the model's scale back to an endpoint's own unit."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from agent.releases.card import Transform

_LOG_UM_PER_M = 6.0
_LN_10 = math.log(10.0)
Numbers = npt.NDArray[np.float64]
_DIGITS = 5  # far below any assay's error, and far above what float32 carries
_MOST = 22  # the largest exponent whose power of ten a double holds exactly
_POWERS = np.array([10.0**exponent for exponent in range(_MOST + 1)])

_INVERSES: dict["Transform", Callable[[float], float]] = {
    "identity": lambda y: y,
    "log10": lambda y: 10.0**y,
    "neg_log10_molar": lambda y: 10.0 ** (_LOG_UM_PER_M - y),
    "log10_plus_1": lambda y: max(math.expm1(y * _LN_10), 0.0),
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
    """Rounds to five significant digits, so that equal predictions are equal text; -0 is 0."""
    return float(f"{value:.{_DIGITS}g}") + 0.0


def native_interval(low: float, high: float, transform: "Transform") -> tuple[float, float] | None:
    """Undoes the transform at both ends of an interval.

    Returns:
        Low end first, whichever way the transform turns; None where an end is no finite number.
    """
    first, second = sorted(to_native(end, transform) for end in (low, high))
    if not (math.isfinite(first) and math.isfinite(second)):
        return None
    return rounded(first), rounded(second)


def natives(values: npt.NDArray[np.floating], transforms: Sequence["Transform"]) -> Numbers:
    """Undoes the transforms of many numbers at once, as `to_native` does of one value.

    The last bit of a number may differ from what `to_native` gives, and is rounded away later.

    Args:
        values: (..., tasks), on the model's scale.
        transforms: One a task.

    Returns:
        float64 of the same shape; NaN stays NaN.
    """
    found = values.astype(np.float64)
    with np.errstate(over="ignore"):
        for undo, columns in _together(tuple(transforms)):
            found[..., columns] = undo(found[..., columns])
    return found


_COLUMNS: dict["Transform", Callable[[Numbers], Numbers]] = {
    "log10": lambda y: 10.0**y,
    "neg_log10_molar": lambda y: 10.0 ** (_LOG_UM_PER_M - y),
    "log10_plus_1": lambda y: np.maximum(np.expm1(y * _LN_10), 0.0),
}


@cache
def _together(
    transforms: tuple["Transform", ...],
) -> tuple[tuple[Callable[[Numbers], Numbers], slice | list[int]], ...]:
    """Returns how to undo each transform there is, and in which columns."""
    found: list[tuple[Callable[[Numbers], Numbers], slice | list[int]]] = []
    for transform, undo in _COLUMNS.items():
        columns = [place for place, one in enumerate(transforms) if one == transform]
        if columns:
            every = len(columns) == len(transforms)
            found.append((undo, slice(None) if every else columns))
    return tuple(found)


def rounded_all(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Does `rounded` to finite numbers of any shape.

    Where five digits leave two candidates equally near, this may choose the other one.
    """
    size = np.abs(values)
    place = np.floor(np.log10(size, where=size > 0, out=np.zeros_like(size)))
    shift = _DIGITS - 1 - place
    up, down = (_POWERS[np.clip(part, 0, _MOST).astype(np.intp)] for part in (shift, -shift))
    near: npt.NDArray[np.float64] = np.rint(values * up / down) * down / up
    far = np.abs(shift) > _MOST
    if far.any():
        near[far] = [rounded(value) for value in values[far].tolist()]
    return near
