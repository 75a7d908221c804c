from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from agent.learning.batches import made_ahead, to_batch

if TYPE_CHECKING:
    from tests.unit.learning.conftest import Problem


@pytest.mark.parametrize("hash_size", [256, 40_000])
def test_turned_counts_are_the_transpose(problem: Problem, hash_size: int) -> None:
    rows = problem.features.take(np.array([7, 5, 7, 30]))
    turned = to_batch(rows, torch.device("cpu"), hash_size).turned
    assert turned is not None
    dense = np.zeros((hash_size, 4), np.float32)
    ends = [*turned.offsets.tolist()[1:], len(turned.indices)]
    for column, (start, end) in enumerate(zip(turned.offsets.tolist(), ends, strict=True)):
        dense[column, turned.indices[start:end]] = turned.values[start:end]
    assert np.array_equal(dense[:256].T, rows.counts)
    assert not dense[256:].any()


@pytest.mark.parametrize("place", ["cpu", "cuda"])  # it only asks whether it is another device
def test_what_is_made_ahead_comes_in_order(place: str) -> None:
    threads = set()

    def make(number: int) -> int:
        threads.add(threading.get_ident())
        return number * number

    device = torch.device(place)
    assert list(made_ahead(make, range(11), device)) == [n * n for n in range(11)]
    assert list(made_ahead(make, [], device)) == []
    assert (threading.get_ident() in threads) == (place == "cpu")


def test_a_fault_while_making_ahead_is_told() -> None:
    with pytest.raises(ZeroDivisionError):
        list(made_ahead(lambda number: 1 / number, [2, 1, 0, 1], torch.device("cuda")))
