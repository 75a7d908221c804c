import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent.serving.guard import LATE, Guard, note, noted

SPIN = """
import sys
from agent.serving.guard import Guard
for number in Guard(int(sys.argv[1]), 0.05).over([0, 1, 2], 7):
    while number:
        pass
"""


@pytest.fixture
def place() -> Iterator[int]:
    fd = os.memfd_create("place")
    yield fd
    os.close(fd)


def test_the_place_says_which_structure_is_being_read(place: int) -> None:
    assert noted(place) is None
    guard = Guard(place, 60.0)
    seen = []
    for text in guard.over(["a", "b"], 5):
        seen.append((text, noted(place)))
        assert signal.getitimer(signal.ITIMER_PROF)[0] > 0
    assert seen == [("a", 5), ("b", 6)]
    assert noted(place) is None
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0


def test_whoever_stops_in_between_stops_the_timer(place: int) -> None:
    reading = iter(Guard(place, 60.0).over(["a", "b"], 0))
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0
    assert noted(place) is None


def test_a_structure_that_takes_too_long_ends_the_process_and_is_known(place: int) -> None:
    note(place, None)
    program = subprocess.run(
        [sys.executable, "-c", SPIN, str(place)], check=False, pass_fds=[place]
    )
    assert program.returncode == -LATE
    assert noted(place) == 8
