"""No test has a time limit, on a busy machine least of all: Hypothesis' own is off.

Its examples are the same in every run, so that a change is judged by what it changed;
`--hypothesis-profile explore` looks for new ones.
"""

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("onggi", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("onggi")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects thousands of tests without looking for garbage among them again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
