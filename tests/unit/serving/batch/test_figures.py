from pathlib import Path
from typing import Any

import numpy as np

from agent.records import InvalidStructure
from agent.serving.batch.figures import Figures, joined, nothing, packed, unpacked


def _figures(rows: int, tasks: int = 3) -> Figures:
    rng = np.random.default_rng(rows)
    fields: list[Any] = [rng.normal(size=(rows, tasks)).astype(np.float32) for _ in range(5)]
    fields.append(rng.integers(0, 4, (rows, tasks)).astype(np.uint8))
    return Figures(*fields)


def _equal(one: Figures, other: Figures) -> bool:
    return [field.tolist() for field in one] == [field.tolist() for field in other]


def test_what_is_packed_comes_out_again() -> None:
    parts = [_figures(2), nothing(3), _figures(5)]
    fault = InvalidStructure("parse", "why")
    head, body = packed([None, None, fault, *[None] * 5], parts, 1)
    assert head == {"rows": 8, "bad": [(2, "parse", "why")], "failed": 1}
    assert _equal(unpacked(body, 3), joined(parts, 3))


def test_nothing_is_nothing() -> None:
    _, body = packed([InvalidStructure("parse", "why")], [nothing(3)], 0)
    assert body == b""
    assert _equal(unpacked(body, 3), nothing(3))
    assert _equal(joined([], 3), nothing(3))


def test_some_rows() -> None:
    all_rows = _figures(4)
    some = all_rows.take(np.array([3, 1]))
    assert np.array_equal(some.mean, all_rows.mean[[3, 1]])
    assert np.array_equal(some.outside, all_rows.outside[[3, 1]])


def test_it_is_small(tmp_path: Path) -> None:
    assert len(packed([None] * 100, [_figures(100, 22)], 0)[1]) == 100 * 22 * 21
