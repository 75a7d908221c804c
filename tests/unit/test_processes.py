import os
from collections.abc import Sequence

import pytest

from agent.processes import Spread, cores


def _sum(numbers: Sequence[int]) -> int:
    return sum(numbers)


def _who(numbers: Sequence[int]) -> int:
    return os.getpid()


def test_little_work_is_done_here_and_at_once() -> None:
    with Spread(_who, 2) as spread:
        assert spread.answers(range(500)) == [os.getpid()]
        assert spread._executor is None


def test_one_process_is_this_one() -> None:
    with Spread(_who, 1, worth_it=1) as spread:
        assert spread.answers(range(500)) == [os.getpid()]


def test_none_means_one_a_core() -> None:
    with Spread(_sum, 0) as spread:
        assert spread._processes == cores() >= 1


@pytest.mark.slow
def test_several_answer_in_order_and_are_done_without_when_they_die() -> None:
    with Spread(_sum, 2, worth_it=1) as spread:
        wanted = [sum(range(start, start + 100)) for start in range(0, 500, 100)]
        assert spread.answers(range(500)) == wanted
        assert spread._executor is not None
        for process in list(spread._executor._processes.values()):
            process.kill()
        assert spread.answers(range(500)) == [sum(wanted)]
        assert spread._executor is None
