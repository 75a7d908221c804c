"""Errors and rank statistics, plain numpy; a figure that does not exist is NaN, never a guess.

Predictions and values are float (n,) arrays of one task, on the transformed scale.
"""

import math

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.floating]
Sides = npt.NDArray[np.int8]


def residuals(predicted: Numbers, measured: Numbers, qualifiers: Sides) -> npt.NDArray[np.float64]:
    """Returns predicted - measured, 0 where a qualified value does not contradict the prediction.

    Args:
        predicted: What the model says.
        measured: What was measured, or its limit.
        qualifiers: -1 for "<" (only a prediction above is wrong), +1 for ">", 0 for "=".
    """
    raw = predicted.astype(np.float64) - measured
    return np.where(qualifiers < 0, raw.clip(min=0), np.where(qualifiers > 0, raw.clip(max=0), raw))


def mae(predicted: Numbers, measured: Numbers, qualifiers: Sides) -> float:
    """Returns the mean absolute residual."""
    if not len(measured):
        return math.nan
    return float(np.abs(residuals(predicted, measured, qualifiers)).mean())


def rmse(predicted: Numbers, measured: Numbers, qualifiers: Sides) -> float:
    """Returns the root of the mean squared residual."""
    if not len(measured):
        return math.nan
    return math.sqrt(float((residuals(predicted, measured, qualifiers) ** 2).mean()))


def r2(predicted: Numbers, measured: Numbers) -> float:
    """Returns the coefficient of determination over unqualified values.

    NaN for fewer than two values, or when all are equal.
    """
    spread = float(((measured - measured.mean()) ** 2).sum()) if len(measured) > 1 else 0.0
    if spread == 0.0:
        return math.nan
    return 1.0 - float(((predicted.astype(np.float64) - measured) ** 2).sum()) / spread


def spearman(predicted: Numbers, measured: Numbers) -> float:
    """Returns Spearman's rank correlation, ties at their mean rank; NaN without any order."""
    first, second = ranks(predicted), ranks(measured)
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(np.corrcoef(first, second)[0, 1])


def rae(predicted: Numbers, measured: Numbers) -> float:
    """Returns the mean absolute error over that of predicting the measured values' own mean.

    NaN for fewer than two values, or when all are equal.
    """
    off = float(np.abs(measured - measured.mean(dtype=np.float64)).sum()) if len(measured) else 0.0
    if off == 0.0:
        return math.nan
    return float(np.abs(predicted.astype(np.float64) - measured).sum()) / off


def coverage(low: Numbers, high: Numbers, measured: Numbers) -> float:
    """Returns the share of the measured values within their intervals, ends included."""
    if not len(measured):
        return math.nan
    return float(((low <= measured) & (measured <= high)).mean())


def auprc(predicted: Numbers, classes: Numbers) -> float:
    """Returns the average precision: the sum over thresholds of (recall gained) * precision.

    NaN without a positive. Ties are one threshold, as in scikit-learn's
    `average_precision_score`.
    """
    positive = classes > 0.5
    if not positive.any():
        return math.nan
    order = np.argsort(-predicted.astype(np.float64), kind="stable")
    scores = predicted[order]
    last = np.append(np.flatnonzero(np.diff(scores) != 0), len(scores) - 1)
    found = np.cumsum(positive[order])[last].astype(np.float64)
    gained = np.diff(found, prepend=0.0) / positive.sum()
    return float((gained * found / (last + 1)).sum())


def auroc(predicted: Numbers, classes: Numbers) -> float:
    """Returns the area under the ROC curve (Mann-Whitney U); NaN unless both classes are there."""
    positive = classes > 0.5
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return math.nan
    above = float(ranks(predicted)[positive].sum()) - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


def ranks(values: Numbers) -> npt.NDArray[np.float64]:
    """Returns the ranks from 1, float64 (n,); equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts).astype(np.float64)
    means: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return means
