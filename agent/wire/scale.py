"""What a head's raw number means: the model's scale of an endpoint, from the catalogue alone.

It belongs to the protocol: the aggregator states with it what a release must answer, and every
silo trains and serves with it.
"""

import math

from agent.wire.documents import Endpoint

_OPEN_END_WIDTH = 4.0  # decades below the upper end where a range starts at log10(0)
_LEAST_SPREAD = 0.05
_MICROMOLAR_EXPONENT = 6.0  # -log10 of a value in uM is 6 below that in M


def head_scale(endpoint: Endpoint) -> tuple[float, float]:
    """Returns centre and spread of an endpoint: a head's raw answer times spread, plus centre.

    A class has (0, 1); the logistic function makes a probability of its raw answer.
    """
    if endpoint.kind == "classification":
        return 0.0, 1.0
    return range_scale(_end(endpoint.low, endpoint), _end(endpoint.high, endpoint))


def range_scale(low: float, high: float) -> tuple[float, float]:
    """Derives centre and spread from a plausible range: its middle, and a quarter of its width.

    Args:
        low: One end on the transformed scale; an end that is not finite, such as log10(0), is put
            four units from the other.
        high: The other end; a transform may have flipped the two.
    """
    ends = sorted(end for end in (low, high) if math.isfinite(end))
    if not ends:
        return 0.0, 1.0
    if len(ends) == 1:
        infinite = low if not math.isfinite(low) else high
        ends = sorted([ends[0], ends[0] + math.copysign(_OPEN_END_WIDTH, infinite)])
    return (ends[0] + ends[1]) / 2, max((ends[1] - ends[0]) / 4, _LEAST_SPREAD)


def _end(bound: float, endpoint: Endpoint) -> float:
    if endpoint.transform == "identity":
        return bound
    if endpoint.transform == "log10_plus_1":
        return math.log10(max(bound, 0.0) + 1.0)
    logarithm = math.log10(bound) if bound > 0 else -math.inf
    if endpoint.transform == "log10":
        return logarithm
    return _MICROMOLAR_EXPONENT - logarithm  # neg_log10_molar, whose canonical unit is uM
