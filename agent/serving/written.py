"""Predictions of a batch as JSON text, straight from arrays: 22 endpoints have 130 numbers each.

The text is what `json.dumps` makes of an `Estimate` by endpoint, to the last byte.
"""

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic_core import to_json

from agent.records import InvalidStructure
from agent.releases.card import TaskCard
from agent.serving.answers import FAILED_STEP
from agent.serving.certainty import Judged
from agent.serving.native import natives, rounded_all

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_UNKNOWN = '"interval": null, "inside": null, "similarity": null, "spread": null, "outside_by": []'
_KNOWN = '"interval": %s, "inside": %s, "similarity": %s, "spread": %s, "outside_by": %s'
_SMALL, _LARGE = 1e-4, 1e16  # where `repr` begins to write exponents
_FIELDS = 7  # of one endpoint in the template
_INSIDE = ("true", "false", "false", "false")
_OUTSIDE_BY = ("[]", '["similarity"]', '["spread"]', '["similarity", "spread"]')


class Writer:
    """Writes a release's predictions.

    Args:
        tasks: The columns.
    """

    def __init__(self, tasks: Sequence[TaskCard]) -> None:
        self._tasks = tasks
        self._transforms = [task.transform for task in tasks]
        self._template = ", ".join(_template(task, _KNOWN) for task in tasks)
        self._plain = ", ".join(_template(task, _UNKNOWN) for task in tasks)

    def texts(self, mean: Floats, judged: Judged | None) -> list[str | InvalidStructure]:
        """Writes a row for each structure: its predictions by endpoint, without the outer braces.

        Args:
            mean: float32 (n, tasks), on the model's scale.
            judged: What is known of the errors; None on old releases.

        Returns:
            A structure with a prediction that is no finite number has its reason instead.
        """
        model = mean.astype(np.float64)
        if judged is None:
            values = natives(model, self._transforms)
            rows = self._plain_rows(values, model)
        else:
            values, *ends = natives(np.stack([mean, judged.low, judged.high]), self._transforms)
            rows = self._rows(values, model, (ends[0], ends[1]), judged)
        good = np.isfinite(values) & np.isfinite(model)
        if good.all():
            return list(rows)
        return [
            row if numbers.all() else self._failed(numbers)
            for row, numbers in zip(rows, good, strict=True)
        ]

    def _failed(self, good: npt.NDArray[np.bool_]) -> InvalidStructure:
        task = self._tasks[int(np.argmin(good))]
        return InvalidStructure(FAILED_STEP, f"{task.task} came out as no finite number.")

    def _plain_rows(self, values: Doubles, model: Doubles) -> list[str]:
        fields = [""] * (2 * values.size)
        fields[0::2], fields[1::2] = _numbers(values, model)
        return _filled(self._plain, fields, len(values))

    def _rows(
        self, values: Doubles, model: Doubles, ends: tuple[Doubles, Doubles], judged: Judged
    ) -> list[str]:
        turned = ends[1] < ends[0]
        low, high = np.where(turned, ends[::-1], ends)
        fields = [""] * (_FIELDS * values.size)
        parts = values, model, low, high, judged.similarity, judged.spread
        fields[0::7], fields[1::7], lows, highs, fields[4::7], fields[5::7] = _numbers(*parts)
        intervals = [f"[{first}, {second}]" for first, second in zip(lows, highs, strict=True)]
        for place in np.flatnonzero(~(np.isfinite(low) & np.isfinite(high)).ravel()).tolist():
            intervals[place] = "null"
        outside = (judged.far + 2 * judged.apart).ravel().tolist()
        fields[2::7] = intervals
        fields[3::7] = [_INSIDE[code] for code in outside]
        fields[6::7] = [_OUTSIDE_BY[code] for code in outside]
        return _filled(self._template, fields, len(values))


def _template(task: TaskCard, rest: str) -> str:
    name, unit = (json.dumps(text, ensure_ascii=False) for text in (task.task, task.unit))
    head = f'{_literal(name)}: {{"value": %s, "model_value": %s, "unit": {_literal(unit)}, '
    return head + rest + "}"


def _literal(text: str) -> str:
    return text.replace("%", "%%")


def _filled(template: str, fields: Sequence[str], rows: int) -> list[str]:
    size = len(fields) // max(rows, 1)
    return [template % tuple(fields[start : start + size]) for start in range(0, len(fields), size)]


def _numbers(*parts: npt.NDArray[np.floating]) -> list[list[str]]:
    """Writes rounded numbers as `repr` does; what is not finite as 0, which nobody will read."""
    stacked = np.stack([part.astype(np.float64).ravel() for part in parts])
    finite = np.where(np.isfinite(stacked), stacked, 0.0)
    numbers = rounded_all(finite).ravel() + 0.0  # -0.0 becomes 0.0, as `native.rounded` has it
    # Four times as fast as `repr`, whose exponents come sooner.
    found = to_json(numbers.tolist())[1:-1].decode().split(",") if numbers.size else []
    sizes = np.abs(numbers)
    for place in np.flatnonzero((sizes >= _LARGE) | (sizes < _SMALL) & (sizes > 0)).tolist():
        found[place] = repr(float(numbers[place]))
    size = stacked.shape[1]
    return [found[start : start + size] for start in range(0, len(found), size)]
