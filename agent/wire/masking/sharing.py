"""Noise that silos share under their masks: what each adds, and whether the ring has room for it.

Every silo of U1 adds Gaussian noise of variance s^2 / t to each number of its vector, also where it
trains nothing, with t the threshold of U1; so t of them have s^2 together, and more have more. The
noise comes before the rounding by chance, in ring elements. Then what a silo adds to the sum for
its number x is an integer k with probability proportional to exp(-(k - x)^2 / 2 (s^2 / t + 1/6)):
a discrete Gaussian around x itself, but for one part in 1,440 (s^2 / t)^2, which `LEAST_SHARE`
makes 6e12. Sums of these are discrete Gaussians again (Kairouz et al. 2021, arXiv:2102.06387), and
one of variance s^2 is what comes of a continuous Gaussian of variance s^2 - r^2 by randomized
rounding of width r (Peikert 2010, doi:10.1007/978-3-642-14623-7_5, theorem 3.1). So the accounting
of the continuous Gaussian holds for the sum, which is what s^2 has r^2 more for.

Cutting numbers to their clip moves no two vectors further apart, so a compound changes the sum by
no more than its clipped gradient.
"""

import math

from agent.errors import Refused
from agent.wire.masking.quantize import levels
from agent.wire.masking.terms import RING_BITS, bits_for, threshold
from agent.wire.noise import SharedNoise
from agent.wire.recipe import Recipe

LEAST_SHARE = 256.0  # in ring elements; below it the noise is not smooth on the integers
_WIDTH = 4.0  # r: the integers are smooth to it by one part in 10^136
_TAIL = 8.0  # deviations that a sum has room for: one number in 10^15 goes beyond


def share(asked: SharedNoise, recipe: Recipe, bits: int, silos: int) -> float:
    """Returns the standard deviation of one silo's noise, in ring elements.

    Args:
        asked: By the plan.
        recipe: The plan's.
        bits: Of a summand's magnitude.
        silos: In U1.

    Raises:
        Refused: `ring_too_coarse`: the noise would be too few ring elements wide.
    """
    found = _together(asked, recipe, bits) / math.sqrt(threshold(silos))
    if found < LEAST_SHARE:
        raise Refused(
            "ring_too_coarse",
            f"A silo's noise would be {found:.3g} ring elements wide, of at least "
            f"{LEAST_SHARE:g}: lower masking.clip, or raise the noise or the learning rate.",
        )
    return found


def check_room(asked: SharedNoise, recipe: Recipe, silos: int) -> None:
    """Checks that the sum with its noise stays in the ring, however many silos are left.

    A sum that leaves it would be garbage and tell no more than it should; so it is a fault of the
    plan, and found before anything is trained.

    Args:
        asked: By the plan.
        recipe: The plan's.
        silos: Participants.

    Raises:
        Refused: `no_headroom`, or a code of `share`.
    """
    bits = bits_for(silos, asked.masking.headroom)
    widest = max(
        share(asked, recipe, bits, left) * math.sqrt(left)
        for left in range(threshold(silos), silos + 1)
    )
    if _TAIL * widest > 2 ** (RING_BITS - 1) - silos * levels(bits):
        needed = _TAIL * widest / (silos * levels(bits))
        raise Refused(
            "no_headroom",
            f"The ring has no room for this plan's noise: masking.headroom must be {needed:.3g} or "
            "more, or masking.clip larger.",
        )


def _together(asked: SharedNoise, recipe: Recipe, bits: int) -> float:
    """Returns s: of the noise that t silos have together, in ring elements."""
    of_compound = recipe.learning_rate / recipe.batch_size * asked.clip
    elements = of_compound / asked.masking.clip * levels(bits)
    return math.hypot(asked.noise * elements, _WIDTH)
