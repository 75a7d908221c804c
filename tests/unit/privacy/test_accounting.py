"""Epsilon against what others published, the two accountants against each other, calibration."""

import math

import pytest

from agent.errors import Refused
from agent.privacy.accounting import (
    Mechanism,
    calibrate,
    check_noise,
    epsilon,
    epsilon_by_moments,
)

DELTA = 1e-5


def _plain_gaussian_delta(noise: float, epsilon: float) -> float:
    """The exact delta of one Gaussian step (Balle and Wang 2018, arXiv:1805.06530, theorem 8)."""

    def below(x: float) -> float:
        return math.erfc(-x / math.sqrt(2)) / 2

    return below(0.5 / noise - epsilon * noise) - math.exp(epsilon) * below(
        -0.5 / noise - epsilon * noise
    )


def test_one_step_without_sampling_is_the_exact_gaussian() -> None:
    found = epsilon([Mechanism(1.0, 1.0, 1)], DELTA)
    assert _plain_gaussian_delta(1.0, found) == pytest.approx(DELTA, rel=2e-3)
    assert _plain_gaussian_delta(1.0, found) <= DELTA  # rounded up, never down


def test_steps_without_sampling_compose_like_one_with_less_noise() -> None:
    many = epsilon([Mechanism(6.0, 1.0, 9)], DELTA)
    assert many == pytest.approx(epsilon([Mechanism(2.0, 1.0, 1)], DELTA), rel=5e-3)


@pytest.mark.parametrize(("noise", "rate", "steps"), [(1.0, 0.02, 500), (2.0, 0.1, 100)])
def test_the_two_accountants_agree(noise: float, rate: float, steps: int) -> None:
    runs = [Mechanism(noise, rate, steps)]
    close, loose = epsilon(runs, DELTA), epsilon_by_moments(runs, DELTA)
    assert close <= loose <= 1.3 * close


def test_rounds_of_one_plan_cost_what_they_cost_together() -> None:
    apart = epsilon([Mechanism(1.2, 0.05, 40)] * 5, DELTA)
    assert apart == epsilon([Mechanism(1.2, 0.05, 200)], DELTA)
    other = epsilon([Mechanism(1.2, 0.05, 200), Mechanism(2.0, 0.05, 10)], DELTA)
    assert other > apart


def test_nothing_costs_nothing() -> None:
    assert epsilon([], DELTA) == 0.0


@pytest.mark.parametrize(("wanted", "rate", "steps"), [(8.0, 0.05, 400), (1.0, 0.02, 100)])
def test_the_noise_is_the_least_that_keeps_to_epsilon(
    wanted: float, rate: float, steps: int
) -> None:
    noise = calibrate(wanted, DELTA, rate, steps)
    assert epsilon([Mechanism(noise, rate, steps)], DELTA) <= wanted
    assert epsilon([Mechanism(noise - 0.001, rate, steps)], DELTA) > wanted


def test_hardly_any_noise_is_not_less_than_the_least() -> None:
    assert calibrate(1e4, DELTA, 0.01, 1) == 0.3


def test_an_epsilon_that_no_noise_reaches() -> None:
    with pytest.raises(Refused, match="epsilon_out_of_reach"):
        calibrate(0.001, DELTA, 0.5, 10_000)


@pytest.mark.parametrize(("noise", "rate", "rounds"), [(1.5, 0.05, 100), (4.0, 1.0, 10)])
def test_what_is_said_of_the_noise_must_hold(noise: float, rate: float, rounds: int) -> None:
    run = Mechanism(noise, rate, rounds)
    cost = epsilon([run], DELTA)
    check_noise(cost, DELTA, run)
    with pytest.raises(Refused, match="noise_too_small"):
        check_noise(0.999 * cost, DELTA, run)
    assert cost <= epsilon_by_moments([run], DELTA) <= 1.3 * cost


def test_a_shared_step_without_sampling_is_the_exact_gaussian_of_all_shares() -> None:
    """t silos with noise z / sqrt(t) each are one with noise z; fewer honest ones have less."""
    honest, noise = 5, 2.0
    whole = epsilon([Mechanism(math.sqrt(honest * (noise**2 / honest)), 1.0, 1)], DELTA)
    assert _plain_gaussian_delta(noise, whole) == pytest.approx(DELTA, rel=2e-3)
    fewer = epsilon([Mechanism(noise * math.sqrt(4 / 5), 1.0, 1)], DELTA)
    assert fewer > whole
