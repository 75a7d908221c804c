"""The secret source: what it draws is normal, sampled at its rate, never twice the same."""

import copy
import math

import numpy as np
import pytest
import torch

from agent.learning.noise import Unforeseen

KEY = bytes(range(32))


def test_the_numbers_are_standard_normal() -> None:
    drawn = Unforeseen(KEY).normal(200_401)
    size = len(drawn)
    assert abs(float(drawn.mean())) < 4 / math.sqrt(size)
    assert abs(float(drawn.var()) - 1) < 4 * math.sqrt(2 / size)
    for limit, tail in ((1.0, 0.31731), (2.0, 0.0455), (3.0, 0.0027)):
        found = float((drawn.abs() > limit).float().mean())
        assert abs(found - tail) < 4 * math.sqrt(tail / size)


def test_neighbours_do_not_go_together() -> None:
    drawn = Unforeseen(KEY).normal(100_000)
    half = drawn.numel() // 2
    for one, other in ((drawn[:-1], drawn[1:]), (drawn[:half], drawn[half:])):
        assert abs(float((one * other).mean())) < 4 / math.sqrt(len(one))


def test_no_call_and_no_source_draws_what_another_drew() -> None:
    secret = Unforeseen(KEY)
    first, second = secret.normal(9), secret.normal(9)
    assert not torch.equal(first, second)
    assert torch.equal(first, Unforeseen(KEY).normal(9))
    assert not torch.equal(Unforeseen().normal(9), Unforeseen().normal(9))


def test_torchs_seed_has_no_say() -> None:
    torch.manual_seed(0)
    first = Unforeseen().normal(9)
    torch.manual_seed(0)
    assert not torch.equal(first, Unforeseen().normal(9))


def test_everything_is_sampled_by_itself() -> None:
    secret = Unforeseen(KEY)
    sizes = [len(secret.sampled(2000, 0.1)) for _ in range(400)]
    assert np.mean(sizes) == pytest.approx(200, abs=3)
    # Binomial, and not a fixed size: that is what the accounting is of.
    assert np.std(sizes) == pytest.approx(math.sqrt(2000 * 0.1 * 0.9), rel=0.2)


def test_all_and_none() -> None:
    assert len(Unforeseen(KEY).sampled(100, 1.0)) == 100
    assert len(Unforeseen(KEY).sampled(0, 0.5)) == 0


def test_the_key_neither_prints_nor_is_copied() -> None:
    secret = Unforeseen(KEY)
    assert repr(secret) == "Unforeseen(...)"
    with pytest.raises(TypeError, match="never copied"):
        copy.deepcopy(secret)
