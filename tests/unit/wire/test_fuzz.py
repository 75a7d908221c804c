"""Damaged messages are read or refused; `python -m benchmarks.fuzz --protocol` tries more."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz_protocol import distorted, fuzz, outcome, targets
from benchmarks.fuzz_samples import Samples

_TARGETS = targets()
_SAMPLES = Samples()
_SLOW = pytest.mark.slow


@pytest.mark.parametrize("name", list(_TARGETS))
@pytest.mark.parametrize("runs", [range(400), pytest.param(range(400, 2000), marks=_SLOW)])
def test_damaged_messages_are_read_or_refused(name: str, runs: range) -> None:
    found = fuzz(_TARGETS[name], runs, 7)
    assert found.total() == len(runs)
    assert len(found) > 1, "the damage reaches more than one end"


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(_TARGETS)), st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(name: str, content: bytes) -> None:
    assert outcome(_TARGETS[name], content)


def test_an_escaped_fault_names_its_run() -> None:
    class Broken:
        def make(self, chance: random.Random) -> bytes:
            return b"in" + chance.randbytes(0) + b"put"

        def read(self, content: bytes) -> object:
            raise KeyError(content)

    with pytest.raises(RuntimeError, match=r"run 3 of seed 1: b'input'"):
        fuzz(Broken(), range(3, 4), 1)  # type: ignore[arg-type]


def test_the_samples_are_sound() -> None:
    for kind in _SAMPLES.documents:
        payload = _SAMPLES.documents[kind].to_bytes()
        assert type(_SAMPLES.documents[kind]).parse(payload) == _SAMPLES.documents[kind]
        assert any(distorted(payload, random.Random(seed)) != payload for seed in range(5))
