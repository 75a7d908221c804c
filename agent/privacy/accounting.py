"""What noise costs: epsilon of sampled Gaussian steps, and the noise for a wanted epsilon.

The unit is one compound with all its labels, added or left out; each step samples every compound
by itself (Poisson) and adds Gaussian noise to the sum of clipped gradients. Composition is by
privacy loss distributions (Doroshenko et al. 2022, arXiv:2207.04380) as `dp-accounting` computes
them, always rounded up; Renyi accounting (Mironov 2017, arXiv:1702.07476) is the cross-check.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from agent.errors import Refused

LEAST_NOISE, MOST_NOISE = 0.3, 100.0
"""Less noise protects nobody; more leaves nothing to learn."""
_GRID = 1e-3  # of the loss: 1e-4 takes ten times as long and gives the same three digits
_STEP = 1e-3  # noise is a multiple of it, so that two hosts name the same number


@dataclass(frozen=True, slots=True)
class Mechanism:
    """Steps of one kind.

    Attributes:
        noise: Standard deviation of the noise over the clipping norm.
        rate: With which probability a step samples a compound.
        steps: How many.
    """

    noise: float
    rate: float
    steps: int


def epsilon(runs: Iterable[Mechanism], delta: float) -> float:
    """Returns the epsilon of all runs together at a delta; 0 of none."""
    # Imported here and below: it takes a second and 100 MB, which only a plan with noise is worth.
    from dp_accounting.pld import privacy_loss_distribution as pld

    whole = pld.identity(value_discretization_interval=_GRID)
    for (noise, rate), steps in _joined(runs).items():
        once = pld.from_gaussian_mechanism(
            noise, sampling_prob=rate, value_discretization_interval=_GRID, use_connect_dots=True
        )
        whole = whole.compose(once.self_compose(steps))
    return float(whole.get_epsilon_for_delta(delta))


def epsilon_by_moments(runs: Iterable[Mechanism], delta: float) -> float:
    """Returns the same by Renyi accounting, which is never lower than the truth, and looser."""
    import dp_accounting
    from dp_accounting import rdp

    accountant = rdp.RdpAccountant()
    for (noise, rate), steps in _joined(runs).items():
        event = dp_accounting.GaussianDpEvent(noise)
        accountant.compose(dp_accounting.PoissonSampledDpEvent(rate, event), steps)
    return float(accountant.get_epsilon(delta))


def calibrate(wanted: float, delta: float, rate: float, steps: int) -> float:
    """Returns the least noise, to a thousandth, with which so many steps cost no more than wanted.

    Raises:
        Refused: `epsilon_out_of_reach`.
    """
    low, high = round(LEAST_NOISE / _STEP), round(MOST_NOISE / _STEP)
    if epsilon([Mechanism(high * _STEP, rate, steps)], delta) > wanted:
        raise Refused(
            "epsilon_out_of_reach",
            f"No noise brings {steps} steps at sampling rate {rate:g} to epsilon {wanted:g}; plan "
            "fewer rounds, or a lower rate.",
        )
    while low < high:
        # The geometric middle: epsilon goes with the noise's logarithm.
        middle = min(math.isqrt(low * high), high - 1)
        if epsilon([Mechanism(middle * _STEP, rate, steps)], delta) <= wanted:
            high = middle
        else:
            low = middle + 1
    return round(high * _STEP, 3)


def check_noise(wanted: float, delta: float, run: Mechanism) -> None:
    """Checks that some steps cost no more than was said of them.

    Args:
        wanted: What was said.
        delta: At which delta.
        run: The steps.

    Raises:
        Refused: `noise_too_small`.
    """
    found = epsilon([run], delta)
    if found > wanted:
        raise Refused(
            "noise_too_small",
            f"Noise of {run.noise:g} clips costs epsilon {found:.3g} in {run.steps} rounds at "
            f"sampling rate {run.rate:g}, and not {wanted:g}; `onggi privacy noise` says how much "
            "it takes.",
        )


def _joined(runs: Iterable[Mechanism]) -> Counter[tuple[float, float]]:
    joined: Counter[tuple[float, float]] = Counter()
    for run in runs:
        joined[run.noise, run.rate] += run.steps
    return joined
