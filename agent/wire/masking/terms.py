"""What a plan says of masking, what a round says of it, and the numbers that follow from both."""

import math
from typing import Annotated

from pydantic import Field

from agent.wire.document import Document, Moment, Sha256

RING_BITS = 32
LEAST_N_MIN = 3  # of two, each would know the other's update from the sum
MOST_BITS = 24  # a float32 has no more
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MaskRules(Document):
    """The part of a plan's privacy section that says how updates are masked.

    Attributes:
        n_min: The fewest silos of which a sum may be made, over all tensors and over each; a
            site's own policy may want more.
        clip: The largest change of one weight in a round; what is beyond is cut to it. A lying
            silo moves the mean by up to the plan's weight cap times this, over the sum of all
            weights; the default is what two local epochs move (docs/privacy.md, section 3).
        bias_clip: The same of a head's bias.
        headroom: The room that the ring leaves for noise, in units of the largest summand: each
            silo may add noise of up to this many times the clip.
        step_s: How long uploads, acknowledgements and unmasking each may take.
    """

    n_min: Annotated[int, Field(ge=LEAST_N_MIN, le=10_000)] = 5
    clip: _Positive = 0.02
    bias_clip: _Positive = 0.1
    headroom: Annotated[float, Field(ge=0, le=63, allow_inf_nan=False)] = 0.0
    step_s: _Positive = 3600.0


class MaskTerms(Document):
    """What a round's manifest says of masking; uploads end at the manifest's own deadline.

    Attributes:
        roster_sha256: The roster whose signing keys count in this round.
        rules: Word for word those of the plan, which the officers signed.
        bits: As `bits_for` says; here so that both ends can see that they agree.
        keys_by, acks_by, unmask_by: Until when the aggregator takes these messages.
    """

    roster_sha256: Sha256
    rules: MaskRules
    bits: Annotated[int, Field(ge=1, le=MOST_BITS)]
    keys_by: Moment
    acks_by: Moment
    unmask_by: Moment


def bits_for(silos: int, headroom: float = 0.0) -> int:
    """Returns how many bits a summand's magnitude may have, so that no sum leaves the ring.

    The sum of n numbers below 2^bits in magnitude, each with noise of up to `headroom` times as
    much, stays within a signed word: min(24, 31 - ceil(log2(n * (1 + headroom)))).
    """
    return min(MOST_BITS, RING_BITS - 1 - math.ceil(math.log2(silos * (1.0 + headroom))))


def threshold(silos: int) -> int:
    """Returns t, the fewest silos of so many that must go on: two thirds, and one."""
    return 2 * silos // 3 + 1


def most_strangers(silos: int) -> int:
    """Returns how many silos that do not count a key set of this size may have.

    Whoever runs them may let each acknowledge two different sets of uploads. Two sets with t
    acknowledgements each need 2t - n such silos (Bonawitz et al. 2017, "Practical Secure
    Aggregation for Privacy-Preserving Machine Learning", section 7.3), so there must be fewer.
    """
    return 2 * threshold(silos) - silos - 1
