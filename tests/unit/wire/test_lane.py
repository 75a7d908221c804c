"""A thread beside the caller's: in order, bounded, and its errors come out."""

import threading

import pytest

from agent.wire.lane import Lane


@pytest.mark.parametrize("beside", [True, False])
def test_everything_is_done_in_order(beside: bool) -> None:
    done: list[tuple[bytes, bytes]] = []
    with Lane(lambda *pieces: done.append(pieces), beside=beside) as lane:
        for number in range(100):
            lane.put(b"%d" % number, b"x")
    assert done == [(b"%d" % number, b"x") for number in range(100)]


def test_it_works_on_another_thread_only_where_it_is_told_to() -> None:
    seen: dict[bool, int] = {}
    for beside in (True, False):

        def work(_one: bytes, _two: bytes, beside: bool = beside) -> None:
            seen[beside] = threading.get_ident()

        with Lane(work, beside=beside) as lane:
            lane.put(b"x")
    assert seen[True] != threading.get_ident() == seen[False]


@pytest.mark.parametrize("beside", [True, False])
def test_after_an_error_nothing_more_is_done_and_it_comes_out(beside: bool) -> None:
    done: list[bytes] = []

    def work(piece: bytes, _: bytes) -> None:
        if piece == b"2":
            raise OSError(28, "No space left on device")
        done.append(piece)

    def run() -> None:
        with Lane(work, beside=beside) as lane:
            for number in range(50):
                lane.put(b"%d" % number)

    with pytest.raises(OSError, match="No space left"):
        run()
    assert done == [b"0", b"1"]


def test_an_error_of_the_caller_is_the_one_that_comes_out() -> None:
    def fails(_one: bytes, _two: bytes) -> None:
        raise OSError(28, "No space left on device")

    def run() -> None:
        with Lane(fails, beside=True) as lane:
            lane.put(b"x")
            raise ValueError("the caller's")

    with pytest.raises(ValueError, match="the caller's"):
        run()
